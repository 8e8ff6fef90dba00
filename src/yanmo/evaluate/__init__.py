"""Evaluation: how likely a model finds a text, and whether its answers are right."""

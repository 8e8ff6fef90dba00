"""Verifiable Chinese tasks: problems at levels of difficulty, each with a rule that judges any answer."""

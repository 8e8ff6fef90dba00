"""Yanmo (研墨): grow a Chinese language model from raw text. `yanmo --help` is the table of contents."""

__version__ = "0.1.0"

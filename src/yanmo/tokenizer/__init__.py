"""Text and token ids: training a vocabulary, loading one, and rendering conversations."""

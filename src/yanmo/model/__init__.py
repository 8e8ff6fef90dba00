"""The Transformer and what reads, writes and runs it. Knows tokens only as numbers: no tokenizer, no text, no training."""

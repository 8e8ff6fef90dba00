"""The Transformer and what reads, writes and runs it. Tokens are numbers here: no tokenizer, no text."""

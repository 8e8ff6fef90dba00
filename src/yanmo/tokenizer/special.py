"""The four control tokens. They are ids, never text: nothing a user types can become one of them."""

DOCUMENT_END = "<|endoftext|>"
"""Ends a document in pretraining, and as an input starts the next one."""

TURN_START = "<|im_start|>"

TURN_END = "<|im_end|>"
"""Ends a turn; a chat model stops here."""

PAD = "<|pad|>"
"""Distinct from every end token: masking the padding must never mask an end (transformers#23530)."""

SPECIAL_TOKENS = (DOCUMENT_END, TURN_START, TURN_END, PAD)
"""In our own tokenizers these are ids 0, 1, 2, 3."""

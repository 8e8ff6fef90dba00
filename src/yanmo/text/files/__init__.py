"""Foreign files: which there are, what they are, and their rows; damage is a row of its own, never an exception."""

"""What documents have in common: with each other (duplicates) and with tests (contamination)."""

"""From documents and conversations to the batches that training reads."""

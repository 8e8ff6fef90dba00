"""The stages of `clean`: inputs cut into spans, spans cleaned into shards, shards written without duplicates."""

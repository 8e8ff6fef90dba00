"""Raw text in, documents and conversations out; this room knows neither torch nor tokenizers."""

"""Document steps: what `clean` does to a document and asks of it, one idea a file; `rules` puts them together."""

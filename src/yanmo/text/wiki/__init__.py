"""MediaWiki dumps into plain text: `dump` gives the pages of a file, `article` the text of a page.

From the outside in: multistream (bz2, from any stream on), dump (pages), tags (comments, references, formulas),
sections (headings, what is cut), scanner (one pass over links, templates and conversion rules), templates, handlers
and conversion (what they show), holes (what they leave behind), lines (lists and tables), article (all in order).
"""

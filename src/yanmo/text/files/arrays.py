"""Rows of JSON files that are one array, or objects one after the other, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from yanmo.text.files.rows import Broken, Row, dump, not_an_object
from yanmo.text.files.sources import Source
from yanmo.text.files.streams import UNREADABLE, Stream, Utf8Stream
from yanmo.text.step import Drop


def json_items(stream: Stream, source: Source) -> Iterator[Row | Broken]:
    """Elements of a JSON array, or pretty-printed objects one after the other, without holding the file.

    What follows a syntax error cannot be told apart any more: the rest of the file is one Broken.
    (ijson turns half a surrogate pair into "?"; only JSON lines can report it.)
    """
    import ijson

    encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding
    text = Utf8Stream(stream, encoding, source.max_row_bytes)
    prefix = source.items if source.layout == "array" else ""
    items = ijson.items(text, prefix, multiple_values=source.layout == "objects")
    number = 0
    while True:
        number += 1
        try:
            value = next(items)
        except StopIteration:
            break
        except ijson.JSONError as error:
            why = stream.fault or " ".join(f"{error}".split())[:200]
            reason = "truncated" if stream.fault or "premature EOF" in why else "invalid_json"
            reason = "row_too_long" if text.too_long else reason
            yield Broken(number, Drop(reason, f"nothing after this can be read: {why}"), "")
            return
        text.next_value()
        if not isinstance(value, dict):
            yield not_an_object(number, value)
        elif text.marked and UNREADABLE in dump(value):
            yield Broken(number, Drop("invalid_encoding", f"not {source.encoding.upper()}"), dump(value))
        else:
            yield Row(number, value)
    if stream.fault:
        yield Broken(number, Drop("truncated", stream.fault), "")

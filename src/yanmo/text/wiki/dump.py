"""The pages of a MediaWiki XML dump, as rows.

The cheap half (`page_blocks`) decompresses and cuts where a `<page>` begins; the costly half (`page_rows`) may run in
any process. Dumps are written by one program in one layout, and `<` inside a text is always escaped, so a page is found
by its tags: no XML parser, which also means that no entity is ever expanded but the five that XML knows by itself.
A page is a row, numbered from 1 in the file.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import BinaryIO

from yanmo.text.files.rows import EXCERPT, Block, Broken, Row, readable
from yanmo.text.files.sources import Source
from yanmo.text.files.streams import CHUNK, Stream
from yanmo.text.step import Drop
from yanmo.text.wiki.multistream import Piece, decompressed, stream_ends

BEGIN = b"<page>"
END = b"</page>"
END_OF_DUMP = b"</mediawiki>"
ARTICLES = "0"
"""The namespace of articles; 1 is their talk, 10 are templates, 14 categories and so on."""
NUMBERED = re.compile("&#(?:[0-9]{1,7}|x[0-9A-Fa-f]{1,6});")


def page_blocks(source: Source, start: int = 0, stop: int | None = None) -> Iterator[Block]:
    """Blocks of whole pages, of about 1 MB; damage and pages beyond the limit as rows of their own.

    `start` and `stop` confine it to the pages that begin there: bytes as `page_ends` gives them. The last one may
    end behind `stop`, since pbzip2 cuts anywhere.
    """
    number, rest, skipping = 1, b"", False
    position, faulty = start, False
    mine: int | None = None
    """How much of `rest` lies before `stop`, once that is reached."""
    for data, position, beyond, fault in _pieces(source, start, stop):
        faulty = fault is not None
        if fault is not None:
            # What was being read is cut off here, and the next piece does not continue it.
            yield from _whole(rest, number, position)
            if mine is not None:
                return
            number += rest.count(BEGIN)
            yield Block(number, [Broken(number, Drop("truncated", fault), "")], position)
            number, rest, skipping = number + 1, b"", False
            continue
        if beyond and mine is None:
            if skipping:
                return
            mine = len(rest)
        rest += data
        if skipping:
            begin = rest.find(BEGIN)
            rest = rest[-len(BEGIN) :] if begin < 0 else rest[begin:]
            skipping = begin < 0
        if mine is not None:
            last = rest.rfind(BEGIN, 0, mine + len(BEGIN) - 1)
            if len(rest) < mine + len(BEGIN) or (last >= 0 and END not in rest[last:] and not _too_long(rest, source)):
                continue
            end = rest.find(END, last) + len(END) if last >= 0 else mine
            yield from _whole(rest[:end], number, position)
            return
        if len(rest) < CHUNK or skipping:
            continue
        last = rest.rfind(BEGIN)
        if last > 0:
            yield from _whole(rest[:last], number, position)
            number += rest.count(BEGIN, 0, last)
            rest = rest[last:]
        if _too_long(rest, source):
            drop = Drop("row_too_long", f"a page longer than {source.max_row_bytes:,} bytes")
            yield Block(number, [Broken(number, drop, readable(rest[:EXCERPT]))], position)
            number, rest, skipping = number + 1, rest[-len(BEGIN) :], True
    yield from _whole(rest, number, position)
    to_the_end = mine is None and (stop is None or stop >= source.path.stat().st_size)
    if to_the_end and not faulty and not _ends_dump(rest, whole=start == 0):
        number += rest.count(BEGIN)
        yield Block(number, [Broken(number, Drop("truncated", "the dump breaks off: no </mediawiki>"), "")], position)


def _ends_dump(rest: bytes, whole: bool) -> bool:
    """Whether the dump's last tag is there; a part of it will do if the file is not read from its beginning."""
    seen = rest.rstrip()[-len(END_OF_DUMP) :]
    return END_OF_DUMP in rest[-CHUNK:] or (not whole and END_OF_DUMP.endswith(seen))


def page_ends(source: Source, step: int) -> Iterator[int]:
    """Where to cut the file so that each part is about `step` bytes long and can be read without those before it."""
    if source.path.suffix == ".bz2":
        yield from stream_ends(source.path, step)
    elif source.path.suffix == ".xml":
        with open(source.path, "rb") as raw:
            yield from _page_starts(raw, step)


def _page_starts(raw: BinaryIO, step: int) -> Iterator[int]:
    end = 0
    while raw.seek(end := end + step):
        rest = b""
        while (found := rest.find(BEGIN)) < 0:
            end += max(len(rest) - len(BEGIN), 0)
            chunk = raw.read(CHUNK)
            if not chunk:
                return
            rest = rest[-len(BEGIN) :] + chunk
        end += found
        yield end


def _too_long(rest: bytes, source: Source) -> bool:
    return len(rest) > source.max_row_bytes + CHUNK


def pages_until(block: Block) -> int:
    """The number of the block's last page."""
    return block.first - 1 + block.data.count(BEGIN) if isinstance(block.data, bytes) else block.first


def _pieces(source: Source, start: int, stop: int | None) -> Iterator[Piece]:
    if source.path.suffix == ".bz2":
        yield from decompressed(source.path, start, stop)
        return
    with Stream(source.path, start, stop) as stream:
        while data := stream.read(CHUNK):
            yield Piece(data, stream.position)
        if stream.fault:
            yield Piece(b"", stream.position, fault=stream.fault)


def _whole(data: bytes, number: int, position: int) -> Iterator[Block]:
    if BEGIN in data:
        yield Block(number, data, position)


def page_rows(data: bytes, first: int, source: Source) -> Iterator[Row | Broken]:
    """The pages of a block: objects with `pageid`, `title`, `namespace`, `redirect` and `wikitext`."""
    for number, page in enumerate(data.split(BEGIN)[1:], first):
        body, end, _ = page.partition(END)
        if not end:
            yield _invalid(number, "the page has no end", page)
        elif len(body) > source.max_row_bytes:
            drop = Drop("row_too_long", f"a page longer than {source.max_row_bytes:,} bytes")
            yield Broken(number, drop, readable(body[:EXCERPT]))
        else:
            yield _parse(number, body)


def _parse(number: int, page: bytes) -> Row | Broken:
    try:
        text = page.decode()
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 from byte {error.start} of the page"
        return Broken(number, Drop("invalid_encoding", detail), readable(page))
    head = text[: text.find("<revision")]
    title, namespace, identity = (_element(head, name) for name in ("title", "ns", "id"))
    redirect = "<redirect" in head
    if title is None or namespace is None or identity is None:
        return _invalid(number, "without <title>, <ns> or <id>", page)
    wikitext: str | None = ""
    if namespace == ARTICLES and not redirect:  # of others nobody wants the text
        wikitext = _wikitext(text)
        if wikitext is None:
            return _invalid(number, "its <text> is missing or not valid XML", page)
    shown = _unescaped(title)
    if shown is None:
        return _invalid(number, "its <title> is not valid XML", page)
    row = {"pageid": identity, "title": shown, "namespace": namespace, "redirect": redirect, "wikitext": wikitext}
    return Row(number, row)


def _invalid(number: int, why: str, page: bytes) -> Broken:
    return Broken(number, Drop("invalid_xml", why), readable(page[:EXCERPT]))


def _element(text: str, name: str) -> str | None:
    start = text.find(f"<{name}>")
    end = text.find(f"</{name}>", start)
    return None if start < 0 or end < 0 else text[start + len(name) + 2 : end]


def _wikitext(page: str) -> str | None:
    """The text of the last revision (pages-articles has only one)."""
    start = page.rfind("<text")
    opened = page.find(">", start)
    if start < 0 or opened < 0:
        return None
    if page[opened - 1] == "/":  # a text that was deleted, or is empty
        return ""
    end = page.find("</text>", opened)
    return None if end < 0 else _unescaped(page[opened + 1 : end])


def _unescaped(text: str) -> str | None:
    """The text that XML means; None where it is none: a tag, or an entity that XML does not know by itself."""
    if "<" in text:
        return None
    if "&" not in text:
        return text
    known = sum(text.count(name) for name in ("&lt;", "&gt;", "&quot;", "&amp;", "&apos;"))
    if known != text.count("&"):
        numbered = NUMBERED.findall(text)
        if known + len(numbered) != text.count("&"):
            return None
        if numbered:
            text = NUMBERED.sub(
                lambda match: "&amp;" if match[0] in ("&#38;", "&#x26;") else html.unescape(match[0]), text
            )
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
    return text.replace("&amp;", "&")

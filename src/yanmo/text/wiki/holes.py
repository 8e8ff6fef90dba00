"""Closing the holes that dropped templates leave: `（{{Audio|..}}，1867年）` must not become `（，1867年）`.

Only punctuation next to a hole is touched; what an author wrote otherwise stays.
"""

from __future__ import annotations

import re

from yanmo.text.wiki.page import ASIDE, HOLE

LOOSE = " \t\xa0\u3000，、；;,：:/"
"""Punctuation that joins two things and stays behind when one of them goes."""
OPENING, CLOSING = "（(", "）)"
EMPTY = re.compile(f"[（(]{HOLE}[）)]|（[ \t\xa0\u3000]*）")


def without_holes(text: str) -> str:
    if ASIDE in text:
        text = _bracketed(text.split(ASIDE))
    if HOLE in text:
        text = _closed(text.split(HOLE))
    return EMPTY.sub("", text) if "（" in text else text


def _closed(pieces: list[str]) -> str:
    """The text whose pieces had holes between them; every piece is looked at a bounded number of times."""
    out = [pieces[0]]
    opened = _opens(pieces[0])
    for piece in pieces[1:]:
        if opened:  # nothing but holes and loose punctuation since a bracket opened
            piece = piece.lstrip(LOOSE)
            if not piece:
                continue
            _trim(out)
            if piece[0] in CLOSING:
                out.append(HOLE)  # nothing is left between the brackets
        elif piece[:1] in LOOSE and piece:
            rest = piece.lstrip(LOOSE)
            if rest[:1] and rest[0] in CLOSING:
                _trim(out)
                piece = rest
            elif out[-1] and out[-1][-1] == piece[0]:  # A，{{..}}，B
                piece = piece[1:]
        elif piece[:1] and piece[0] in CLOSING:
            _trim(out)
        if piece:
            out.append(piece)
            opened = _opens(piece)
    return "".join(out)


def _bracketed(pieces: list[str]) -> str:
    """Every second piece is an aside; it gets brackets where its line has none open."""
    for index in range(1, len(pieces) - 1, 2):
        line = pieces[index - 1].rpartition("\n")[2]
        if sum(map(line.count, OPENING)) <= sum(map(line.count, CLOSING)):
            pieces[index] = f"（{pieces[index]}）"
    return "".join(pieces)


def _opens(piece: str) -> bool:
    return piece.rstrip(LOOSE)[-1:] in ("（", "(")


def _trim(out: list[str]) -> None:
    """Take loose punctuation off the end."""
    while out and not (trimmed := out[-1].rstrip(LOOSE)):
        out.pop()
    if out:
        out[-1] = trimmed
    else:
        out.append("")

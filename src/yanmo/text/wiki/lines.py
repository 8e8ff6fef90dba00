"""What is markup by standing at a line's beginning: tables, lists, indentation, rules.

A list's items stay, a line each, without their marks; tables go. A table that never closes takes with it only the
lines that look like one.
"""

from __future__ import annotations

import re

MARKS = "*#:;"
BLANK = " \t\u3000\xa0"
SPECIAL = frozenset(MARKS + BLANK + "|!-")
FILE = re.compile(r"(?:File|Image|文件|檔案|档案|图像|圖像)\s*:[^|\n]*\.\w{3,4}\s*(?:\||$)", re.IGNORECASE)
"""A line of a gallery that has lost its tags."""
FILE_LETTERS = frozenset("FfIi文檔档图圖")


def without_line_markup(text: str) -> list[str]:
    """The lines that have text."""
    lines = text.split("\n")
    if "{|" in text:
        lines = _without_tables(lines)
    out = []
    for line in lines:
        first = line[:1]
        if first in SPECIAL:
            line = line.strip(BLANK)
            first = line[:1]
            if first == "|":  # what an unclosed table or template has left
                continue
            if first in MARKS:
                line = line.lstrip(MARKS + BLANK)
                if first == ";":
                    term, colon, meaning = line.partition(":")
                    if colon and not meaning.startswith("//"):
                        line = f"{term.rstrip()}：{meaning.lstrip()}"
            elif line.startswith("----"):
                line = line.lstrip("-")
        elif first in FILE_LETTERS and FILE.match(line):
            continue
        line = line.strip(BLANK)
        if line:
            out.append(line)
    return out


def _without_tables(lines: list[str]) -> list[str]:
    """Lines outside of tables. Tables are nested, and what closes is found in one pass."""
    open_tables: list[int] = []
    closing: dict[int, int] = {}
    for index, line in enumerate(lines):
        start = line.lstrip(MARKS + BLANK)[:2]
        if start == "{|":
            open_tables.append(index)
        elif start == "|}" and open_tables:
            closing[open_tables.pop()] = index
    out, index = [], 0
    unclosed = set(open_tables)
    after_unclosed = False
    while index < len(lines):
        line = lines[index]
        if index in closing:
            end = closing[index]
            # text behind |} belongs to the paragraph
            out.append(lines[end].lstrip(MARKS + BLANK)[2:])
            index = end + 1
            continue
        if index in unclosed:
            after_unclosed = True
        elif not (after_unclosed and line.lstrip(BLANK).startswith("!")):
            out.append(line)
        index += 1
    return out

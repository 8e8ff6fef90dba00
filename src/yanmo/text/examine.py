"""What a file of text is and how good: found out by reading it as every command would, facts without advice.

The use is the most demanding that most of its first rows allow: preferences, else conversations, else documents.
Every row is then parsed, adapted and checked, so that what a command would reject later is counted here with its
place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.conversations import CONVERSATIONS, checked
from yanmo.text.files.readers import block_rows, read_blocks
from yanmo.text.files.rows import Broken, Row
from yanmo.text.files.sources import Encoding, Source, look
from yanmo.text.formats import Formats, RowKeys, check_name, common_format
from yanmo.text.overlap.fold import code_points, folded_hash
from yanmo.text.preferences import PREFERENCES, Preference, checked_pair
from yanmo.text.reading import first_rows
from yanmo.text.step import Drop
from yanmo.text.steps.characters import composition

Use = Literal["preferences", "conversations", "documents"]
USES: dict[Use, Formats] = {"preferences": PREFERENCES, "conversations": CONVERSATIONS, "documents": DOCUMENTS}
SHOWN = 3
PLACES = 5
"""Broken rows whose places are kept."""
AT_LEAST = 100
"""Characters that a row counts for where it gives no text, so that any file is read to a limit only."""
EXCERPT = 300_000
LENGTHS = (0.0, 0.05, 0.5, 0.95, 1.0)


class Said(NamedTuple):
    """A part of a row for showing: who says it ("" in a document) and what."""

    role: str
    text: str


@dataclass
class Bad:
    """Rows that are no use, by reason, with the places of the first."""

    reasons: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, place: str, drop: Drop) -> None:
        self.reasons[drop.reason] += 1
        if len(self.first) < PLACES:
            self.first.append(f"{place} ({drop.reason}{': ' * bool(drop.detail)}{drop.detail})")

    @property
    def count(self) -> int:
        return self.reasons.total()


@dataclass
class Examined:
    """A file's facts; counts are of what was read, which `whole` says was all."""

    source: Source
    size: int
    use: Use | None = None
    """None: no format is known for its rows."""
    format: str = ""
    others: list[Use] = field(default_factory=list)
    """What else it can be used as."""
    keys: dict[str, str] = field(default_factory=dict)
    """The keys of its first rows, each with an example of what it holds."""
    rows: int = 0
    broken: Bad = field(default_factory=Bad)
    """Rows that cannot be read."""
    rejected: Bad = field(default_factory=Bad)
    """Rows that can be read, but are not what the use asks for."""
    pairs: int = 0
    unfit_pairs: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    """Conversations by their number of questions."""
    encodings: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    lengths: list[int] = field(default_factory=list)
    """Characters of each text."""
    han: int = 0
    visible: int = 0
    traditional: int = 0
    simplified: int = 0
    samples: list[list[Said]] = field(default_factory=list)
    excerpt: list[str] = field(default_factory=list)
    """The first texts, up to EXCERPT characters, to measure tokenizers by."""
    characters_kept: int = 0
    position: int = 0
    whole: bool = False

    @property
    def characters(self) -> int:
        return sum(self.lengths)

    @property
    def share_read(self) -> float:
        return 1.0 if self.whole else min(1.0, max(self.position, 1) / max(self.size, 1))

    @property
    def han_share(self) -> float:
        """Of the visible characters."""
        return self.han / max(self.visible, 1)

    @property
    def traditional_share(self) -> float | None:
        """Of the characters that only one of the two ways of writing has; None if there are none."""
        return self.traditional / telling if (telling := self.traditional + self.simplified) else None

    def length_quantiles(self) -> list[int]:
        return [round(value) for value in np.quantile(self.lengths or [0], LENGTHS)]


def examine(
    path: Path, name: str | None = None, encoding: Encoding = "auto", format: str = "auto", limit: int | None = None
) -> Examined:
    """Read about `limit` characters of a file (None: all of it) and count.

    Raises: ValueError: it is no kind of text file, or there is no format of that name.
    """
    source = look(path, name, encoding, txt_documents="line")
    found = Examined(source, path.stat().st_size)
    rows = first_rows(source)
    found.keys = _examples(rows)
    uses = _uses(rows) if format == "auto" else _uses_named(format)
    if uses:
        found.use, found.format = uses[0]
        found.others = [use for use, _ in uses[1:]]
    seen: set[bytes] = set()
    characters = 0
    for block in read_blocks(source):
        for row in block_rows(block, source):
            characters += _count(found, row, seen)
        found.position = block.position
        if limit is not None and characters >= limit:
            break
    else:
        found.whole = True
    return found


def _uses(rows: list[RowKeys]) -> list[tuple[Use, str]]:
    """What rows can be used as, and their format for it."""
    return [(use, format) for use, formats in USES.items() if (format := common_format(rows, formats))]


def _uses_named(name: str) -> list[tuple[Use, str]]:
    """What has a format of that name.

    Raises: ValueError: nothing has.
    """
    found: list[tuple[Use, str]] = []
    for use, formats in USES.items():
        try:
            found.append((use, check_name(name, formats)))
        except ValueError as error:
            problem = error
    if not found:
        raise problem
    return found


def _examples(rows: list[RowKeys]) -> dict[str, str]:
    """Each key with its first value that says something."""
    examples: dict[str, str] = {}
    for row in rows:
        for key, value in row.items():
            if not examples.get(key):
                examples[key] = "" if value in (None, "", [], {}) else f"{type(value).__name__} {value!r:.200}"
    return examples


def _count(found: Examined, row: Row | Broken, seen: set[bytes]) -> int:
    """Take a row into the counts; gives about how many characters were read."""
    found.rows += 1
    place = found.source.place(row.number)
    if isinstance(row, Broken):
        found.broken.add(place, row.drop)
        return len(row.raw) + AT_LEAST
    found.encodings[row.encoding or found.source.encoding] += 1
    if found.use is None:
        return AT_LEAST
    value = row.value if isinstance(row.value, dict) else {"text": row.value}
    parts = _parts(found, value)
    if isinstance(parts, Drop):
        found.rejected.add(place, parts)
        return AT_LEAST
    if len(found.samples) < SHOWN:
        found.samples.append(parts)
    text = "\n".join(part.text for part in parts).encode("utf-8", "replace").decode()
    if found.characters_kept < EXCERPT:
        found.excerpt.append(text)
        found.characters_kept += len(text)
    found.lengths.append(len(text))
    found.duplicates += (digest := folded_hash(text)) in seen
    seen.add(digest)
    made_of = composition(text)
    found.han += made_of.han
    found.visible += made_of.visible
    written = np.bincount(_written()[code_points(text)], minlength=3)
    found.traditional += int(written[1])
    found.simplified += int(written[2])
    return len(text)


def _parts(found: Examined, row: RowKeys) -> list[Said] | Drop:
    """What the row says for the file's use, or why it is none for it."""
    if found.use == "documents":
        text = DOCUMENTS[found.format].read(row)
        if isinstance(text, Drop):
            return text
        return [Said("", text)] if text.strip() else Drop("empty", "no text")
    if found.use == "conversations":
        messages = CONVERSATIONS[found.format].read(row)
        messages = messages if isinstance(messages, Drop) else checked(messages)
        if isinstance(messages, Drop):
            return messages
        found.turns[sum(message["role"] == "user" for message in messages)] += 1
        return [Said(message["role"], message["content"]) for message in messages]
    pairs = PREFERENCES[found.format].read(row)
    if isinstance(pairs, Drop):
        return pairs
    good: list[Preference] = []
    drops: list[Drop] = []
    for pair in map(checked_pair, pairs):
        good.append(pair) if isinstance(pair, Preference) else drops.append(pair)
    if not good:
        return drops[0]
    found.pairs += len(good)
    found.unfit_pairs.update(drop.reason for drop in drops)
    asked = [Said(message["role"], message["content"]) for message in good[0].messages]
    return [*asked, Said("chosen", good[0].chosen), Said("rejected", good[0].rejected)]


@cache
def _written() -> np.ndarray:
    """Code point -> 1 for characters of traditional writing alone, 2 for those of simplified alone, else 0.

    By the two standards that are in every Python: what Big5 has and GB2312 has not, and the other way round.
    """
    table = np.zeros(0x110000, np.uint8)
    for point in range(0x4E00, 0xA000):
        character = chr(point)
        gb, big5 = character.encode("gb2312", "ignore"), character.encode("big5", "ignore")
        table[point] = 1 if big5 and not gb else 2 if gb and not big5 else 0
    return table

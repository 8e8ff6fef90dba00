"""Documents that give test questions away: they share 13 letters in a row with an evaluation set.

Thirteen is the length of Brown et al., Language Models are Few-Shot Learners (2020), appendix C, in characters for
Chinese. Letters are the folded ones (`fold.letters_of`): punctuation, spacing, width, case and script do not count,
so a question in other dress is found too.

Not every run of 13 letters of a question tells on a document. Measured on CMMLU against 180 MB of classics and
technical prose, all but a handful of hits were of these kinds, which therefore do not count:

- what the question quotes, in quotation marks or as a title: a verse stands in the classics anyway, and the chapter
  it comes from is no leak of the question about it;
- what lies within one choice: a choice is a statement as any text may make it. Choices count where the run reaches
  over into the question or the next choice, as in a printed test: question, A, first choice, B, ...;
- what is common to five questions or more: "which of the following statements is correct", LaTeX;
- what has fewer than 8 Han characters: names of programs, formulas. Here, as in tests in other languages, 50 letters
  in a row are asked for;
- what has fewer than 6 different letters.

A question without a run that counts, being too short, all quotation or a formula, counts as a whole: from 8 letters
on, below together with its choices. So every question of some length is found when it is there as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Broken
from yanmo.text.files.sources import find_files, look
from yanmo.text.overlap.fold import REMOVED, batches, code_points, folded_letter_table, letters_of
from yanmo.text.step import Drop

LENGTH = 13
SHORT = 8
"""Least letters of a question that counts as a whole; also what is looked up first at each position."""
LATIN_LENGTH = 50
"""About ten English words."""
LONGEST = 63
"""Of a question that counts as a whole; longer ones have runs of 50."""
LEAST_HAN = 8
LEAST_DIFFERENT = 6
COMMON = 5
"""Questions that have a run of letters in common, from which on it is phrasing and not content."""
STEMS = ("question", "q_main", "prompt", "instruction", "query", "problem", "input", "title", "问题", "题目")
"""Keys of the question itself, the likeliest first."""
CHOICE = re.compile(r"[A-H]|(?:option|choice|选项)_?[A-Ha-h1-8]")
CHOICES = ("choices", "options", "candidates", "选项")
QUOTATION = re.compile(r"“[^”]*”|‘[^’]*’|「[^」]*」|『[^』]*』|《[^》]*》|\"[^\"]*\"")
FILTER_BITS = 32
"""Bits of the filter for each entry: 3 % of the positions that match nothing pass it."""
PIECE = 1 << 16
"""Runs looked at letter by letter at once."""


class Part(NamedTuple):
    """A field of an evaluation row."""

    text: str
    is_stem: bool = False
    is_choice: bool = False


Segment = list[Part]
"""Parts that are read one after the other."""


@lru_cache(maxsize=1)
def contamination(paths: tuple[Path, ...]) -> Contamination:
    """`Contamination.load`, once a process."""
    return Contamination.load(paths)


@dataclass(frozen=True)
class Contamination:
    """What evaluation files ask, ready to be looked for. Arrays only, so it goes to other processes cheaply."""

    names: tuple[str, ...]
    files: np.ndarray = field(repr=False)
    """The file of each row, an index into `names`."""
    numbers: np.ndarray = field(repr=False)
    """Its number there, from 1."""
    runs: np.ndarray = field(repr=False)
    """Hashes of the runs that count, uint64, ascending."""
    rows: np.ndarray = field(repr=False)
    """The first row that has each."""
    heads: np.ndarray = field(repr=False)
    """Hashes of the first SHORT letters of runs, uint32, ascending."""
    lengths: np.ndarray = field(repr=False)
    """The lengths of the runs with each head: uint64, a bit for each length."""
    filter: np.ndarray = field(repr=False)
    """A bit for each value of a head's leading bits, packed in uint32: the quick look at every position."""

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Contamination:
        """Read evaluation files of any kind that `clean` reads: every text in each row counts.

        Raises: ValueError: a file is missing or of an unknown kind, a row is broken, or there is nothing to look for.
        """
        files = find_files(list(paths))
        place: list[tuple[int, int]] = []
        segments: list[tuple[int, Segment]] = []
        for index, (path, name) in enumerate(files):
            source = look(path, name)
            for row in read_rows(source):
                if isinstance(row, Broken):
                    raise ValueError(f"{source.place(row.number)}: {row.drop.reason}: not all of the test would count")
                segments += ((len(place), segment) for segment in segments_of(row.value))
                place.append((index, row.number))
        letters = _Letters(segments) if segments else None
        counting = letters.runs() if letters else []
        if not letters or not counting:
            raise ValueError(f"{' '.join(map(str, paths))}: no question that could be recognised in a text")
        starts = np.concatenate([starts for _, starts in counting])
        sizes = np.concatenate([np.full(len(starts), length, np.uint64) for length, starts in counting])
        runs = np.concatenate([_hashes(letters.points, starts, length) for length, starts in counting])
        runs, first = np.unique(runs, return_index=True)
        heads, head = np.unique(letters.heads[starts], return_inverse=True)
        lengths = np.zeros(len(heads), np.uint64)
        np.bitwise_or.at(lengths, head, np.uint64(1) << sizes)
        where = np.array(place)
        return cls(
            names=tuple(name for _, name in files),
            files=where[:, 0],
            numbers=where[:, 1],
            runs=runs,
            rows=letters.row[starts[first]],
            heads=heads,
            lengths=lengths,
            filter=_filter(heads),
        )

    def find(self, text: str) -> Drop | None:
        """Drop("contaminated", which file and row, and what they share), or None."""
        points = folded_letter_table()[code_points(text)]
        at, _ = self._look_up(_heads(points[points != REMOVED]))
        return self._find_batch([text])[0] if len(at) else None

    def find_all(self, texts: Sequence[str]) -> list[Drop | None]:
        """`find` for many texts, several times as fast."""
        return [drop for first, last in batches(texts) for drop in self._find_batch(texts[first:last])]

    def _find_batch(self, texts: Sequence[str]) -> list[Drop | None]:
        result: list[Drop | None] = [None] * len(texts)
        letters, places = letters_of(texts)
        at, head = self._look_up(_heads(letters.points))
        if not len(at):
            return result
        document = np.searchsorted(letters.ends, at, side="right")
        lengths = self.lengths[head]
        hits = []
        for length in _bits(np.bitwise_or.reduce(lengths)):
            has_length = (lengths >> np.uint64(length)) & np.uint64(1) != 0
            chosen = np.flatnonzero(has_length & (at + length <= letters.ends[document]))
            run = _index(self.runs, _hashes(letters.points, at[chosen], length))
            for start, index, row in zip(
                at[chosen[run >= 0]].tolist(),
                document[chosen[run >= 0]].tolist(),
                self.rows[run[run >= 0]].tolist(),
                strict=True,
            ):
                hits.append((index, start, start + length, row))
        joined = "".join(texts) if hits else ""
        for index, start, end, row in _merged(sorted(hits)):
            if result[index] is None:
                shared = joined[places[start] : places[end - 1] + 1]
                where = f"{self.names[self.files[row]]}:{self.numbers[row]}"
                result[index] = Drop("contaminated", f"{where}: {' '.join(shared.split())}")
        return result

    def _look_up(self, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the heads of runs are: positions, and which of `self.heads`."""
        at = np.flatnonzero(_passes(self.filter, heads))
        head = _index(self.heads, heads[at])
        return at[head >= 0], head[head >= 0]


def _merged(hits: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Hits (document, start, end, row) in order; overlapping ones become one, of the first one's row."""
    current: tuple[int, int, int, int] | None = None
    for hit in hits:
        if current and hit[0] == current[0] and hit[1] <= current[2]:
            current = (current[0], current[1], max(current[2], hit[2]), current[3])
            continue
        if current:
            yield current
        current = hit
    if current:
        yield current


def _bits(number: np.uint64) -> list[int]:
    return [bit for bit in range(64) if int(number) >> bit & 1]


def segments_of(row: Mapping[str, Any] | str) -> Iterator[Segment]:
    """What of an evaluation row is looked for: a question with its choices, and every other text by itself."""
    if isinstance(row, str):
        yield [Part(row)]
        return
    choices = _choices(row)
    stem = next((key for key in STEMS if isinstance(row.get(key), str)), None)
    if choices and stem is None:
        stem = next((key for key, value in row.items() if isinstance(value, str) and not CHOICE.fullmatch(key)), None)
    if stem is not None:
        labelled = (
            part for n, text in enumerate(choices) for part in (Part("ABCDEFGH"[n]), Part(text, is_choice=True))
        )
        yield [Part(row[stem], is_stem=True), *labelled]
    for key, value in row.items():
        if key != stem and key not in CHOICES and not CHOICE.fullmatch(key):
            for text in _texts(value):
                yield [Part(text)]


def _choices(row: Mapping[str, Any]) -> list[str]:
    named = [value for key, value in row.items() if CHOICE.fullmatch(key) and isinstance(value, str)]
    listed: object = next((row[key] for key in CHOICES if isinstance(row.get(key), (list, dict))), [])
    return (named or list(_texts(listed)))[:8]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


class _Letters:
    """The letters of all segments, one after the other, with what is known of each."""

    def __init__(self, segments: Sequence[tuple[int, Segment]]):
        parts = [part for _, segment in segments for part in segment]
        letters, places = letters_of([part.text for part in parts])
        sizes = np.diff(letters.ends, prepend=0)
        last_parts = np.cumsum([len(segment) for _, segment in segments]) - 1
        self.points = letters.points
        self.part = np.repeat(np.arange(len(parts)), sizes)
        segment = np.searchsorted(last_parts, self.part)
        self.end = letters.ends[last_parts][segment]
        """Where its segment ends."""
        self.row = np.array([row for row, _ in segments])[segment]
        self.question = _distinct(self.points, letters.ends[last_parts])[segment]
        """Its segment; the same number for segments of the same letters."""
        self.choice = np.array([part.is_choice for part in parts])[self.part]
        self.quoted = np.concatenate([_quoted(part.text) for part in parts])[places]
        self.han = (self.points >= 0x3400) & (self.points <= 0x9FFF) | (self.points >= 0x20000)
        stems = np.array([part.is_stem for part in parts])
        self.stems = (letters.ends - sizes)[stems]
        """Where questions start."""
        self.stem_sizes = sizes[stems]
        self.heads = _heads(self.points)

    def runs(self) -> list[tuple[int, np.ndarray]]:
        """(length, where the runs of this length that count start)."""
        everywhere = np.arange(len(self.points))
        han, latin = self._fitting(everywhere, LENGTH), self._fitting(everywhere, LATIN_LENGTH)
        han = han[_count(self.han, han, LENGTH) >= LEAST_HAN]
        latin = latin[_count(self.han, latin, LENGTH) < LEAST_HAN]
        han = self._own(self._telling(han, LENGTH, han), LENGTH)
        latin = self._own(self._telling(latin, LATIN_LENGTH, latin), LATIN_LENGTH)
        kept = [(LENGTH, han), (LATIN_LENGTH, latin)]
        whole = self._whole(han, latin, self.stem_sizes)
        with_choices = self._whole(han, latin, self.end[self.stems] - self.stems)
        # Wherever such a question may stand within another.
        among = np.flatnonzero(np.isin(self.heads, self.heads[self.stems[(whole > 0) | (with_choices > 0)]]))
        for size in range(SHORT, LONGEST + 1):
            questions = self.stems[(whole == size) | (with_choices == size)]
            kept.append((size, self._telling(questions, size, among)))
        return [(length, starts) for length, starts in kept if len(starts)]

    def _whole(self, han: np.ndarray, latin: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The size of each question if it counts as a whole; 0 if it has runs that count, or is too short or long."""
        ends = self.stems + sizes
        has_run = np.zeros(len(sizes), bool)
        for starts, length in ((han, LENGTH), (latin, LATIN_LENGTH)):
            has_run |= np.searchsorted(starts, self.stems) < np.searchsorted(starts, ends - length, side="right")
        enough = (sizes >= LENGTH) | (sizes >= SHORT) & (_count(self.han, self.stems, sizes) >= LEAST_HAN - 2)
        return np.where(~has_run & enough & (sizes <= LONGEST), sizes, 0)

    def _fitting(self, positions: np.ndarray, length: int) -> np.ndarray:
        return positions[positions + length <= self.end[positions]]

    def _telling(self, starts: np.ndarray, length: int, among: np.ndarray) -> np.ndarray:
        """Those of enough different letters that few questions have in common, counting runs that start `among`."""
        starts = starts[_different(self.points, starts, length) >= LEAST_DIFFERENT]
        if not len(starts):
            return starts
        among = self._fitting(among, length)
        hashes = _hashes(self.points, among, length)
        order = np.lexsort((self.question[among], hashes))
        hashes, question = hashes[order], self.question[among][order]
        first = np.append(True, (hashes[1:] != hashes[:-1]) | (question[1:] != question[:-1]))
        different, questions = np.unique(hashes[first], return_counts=True)
        common = different[questions >= COMMON]
        return starts[~np.isin(_hashes(self.points, starts, length), common)]

    def _own(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Those that neither quote nor lie within one choice; all of a row that would have none."""
        last = starts + length - 1
        in_choice = self.choice[starts] & (self.part[starts] == self.part[last])
        own = ~in_choice & (_count(self.quoted, starts, length) < length)
        has_own = np.isin(self.row[starts], self.row[starts[own]])
        return starts[own | ~has_own]


def _count(flags: np.ndarray, starts: np.ndarray, length: int | np.ndarray) -> np.ndarray:
    """How many of `length` flags from each start on are set."""
    before = np.concatenate(([0], np.cumsum(flags)))
    return before[starts + length] - before[starts]


def _different(points: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """How many different letters each run has."""
    counts = [np.empty(0, np.int64)]
    for first in range(0, len(starts), PIECE):
        windows = np.sort(points[starts[first : first + PIECE, None] + np.arange(length)], axis=1)
        counts.append((windows[:, 1:] != windows[:, :-1]).sum(1) + 1)
    return np.concatenate(counts)


def _distinct(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A number for each stretch of points, the same for equal ones."""
    numbers: dict[bytes, int] = {}
    starts = [0, *ends[:-1].tolist()]
    keys = [points[start:end].tobytes() for start, end in zip(starts, ends.tolist(), strict=True)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _quoted(text: str) -> np.ndarray:
    """Which characters are inside quotation marks, bool."""
    result = np.zeros(len(text), bool)
    for match in QUOTATION.finditer(text):
        result[match.start() : match.end()] = True
    return result


def _hashes(points: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """uint64 hashes of the runs of this length."""
    hashes = np.full(len(starts), length, np.uint64)
    for offset in range(length):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + points[starts + offset]
    return hashes


def _heads(points: np.ndarray) -> np.ndarray:
    """The uint32 hash of the SHORT letters that start at each position, by doubling: pairs, fours, eights."""
    hashes = points
    for step, multiplier in ((1, 0x85EBCA6B), (2, 0xC2B2AE35), (4, 0x27D4EB2F)):
        hashes = hashes[:-step] * np.uint32(multiplier) + hashes[step:]
    return hashes * np.uint32(0x9E3779B1)


def _filter(heads: np.ndarray) -> np.ndarray:
    bits = min(max((FILTER_BITS * len(heads)).bit_length(), 10), 27)
    flags = np.zeros(1 << bits, bool)
    flags[heads >> np.uint32(32 - bits)] = True
    return np.packbits(flags, bitorder="little").view("<u4")


def _passes(filter: np.ndarray, heads: np.ndarray) -> np.ndarray:
    index = heads >> np.uint32(32 - (len(filter) * 32).bit_length() + 1)
    words = filter[index >> np.uint32(5)]
    return (words >> (index & np.uint32(31))) & np.uint32(1)


def _index(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each value is among the ascending ones; -1 where it is not."""
    index = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.where(ascending[index] == values, index, -1)

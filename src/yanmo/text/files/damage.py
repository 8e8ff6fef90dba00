"""How much of a file is broken, and when that is too much to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from yanmo.text.files.sources import Source
from yanmo.text.step import Drop


@dataclass
class Damage:
    """Counts a file's broken rows, and stops the work when most are broken: that is a mistake, not damage.

    Decided as soon as `ENOUGH` rows are broken and they are the majority; for all files by `check_all`.
    """

    ENOUGH = 100

    source: Source
    rows: int = 0
    broken: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, rows: int, broken: Iterable[tuple[int, Drop]]) -> None:
        """Raises: ValueError: most of the file is broken."""
        self.rows += rows
        for number, drop in broken:
            self.broken += 1
            self.reasons[drop.reason] += 1
            if len(self.first) < 5:
                self.first.append(f"{self.source.place(number)} ({drop.reason}: {drop.detail})")
        if self.broken >= self.ENOUGH and self.broken * 2 > self.rows:
            raise ValueError(self.complaint())

    def complaint(self) -> str:
        gb18030 = any("GB18030" in place for place in self.first)
        hint = "; try --encoding gb18030" if gb18030 else "; correct the file or leave it out"
        return f"{self.broken:,} of the first {self.rows:,} rows are broken: {', '.join(self.first[:3])}{hint}"

    @staticmethod
    def check_all(files: Collection[Damage]) -> None:
        """Raises: ValueError: most rows of all files together are broken."""
        if sum(file.broken for file in files) * 2 > sum(file.rows for file in files):
            raise ValueError(max(files, key=lambda file: file.broken).complaint())

"""Numbers for where documents come from: the input, and within it the source that a document names."""

from __future__ import annotations

import numpy as np

MOST = 50_000
"""Some corpora name a source for every document; more than so many are not told apart."""

OTHERS = "(other sources)"


class Labels:
    """`names[number]` is (number of the input, source)."""

    def __init__(self) -> None:
        self.names: list[tuple[int, str]] = []
        self._numbers: dict[tuple[int, str], int] = {}

    def number(self, input: int, source: str) -> int:
        name = (input, source)
        if name not in self._numbers and len(self.names) >= MOST:
            name = (input, OTHERS)
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

    def inputs(self) -> np.ndarray:
        """The input of each label."""
        return np.array([input for input, _ in self.names], dtype=np.int64)

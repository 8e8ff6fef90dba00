"""What `clean` asks of a document: every rule that looks at one document alone, as settings and as steps.

`Rules` is both the command's settings and what worker processes get; `document_steps` turns it into functions.
"""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.text import quality
from yanmo.text.normalise import normalise
from yanmo.text.step import Step


@dataclass(kw_only=True)
class Rules:
    min_chars: int = 10
    """Shorter documents are removed (too_short): less than a sentence, in encyclopedias a bare title."""
    max_chars: int | None = None
    """Longer documents are removed (too_long); none keeps all, since packing cuts them anyway."""
    min_han: float = 0.2
    """Least share of Han characters in what is not white space (few_han). Prose has 0.8, Markdown with code 0.3."""

    def check(self) -> None:
        """Raises: ValueError: a setting has an impossible value."""
        if not 0 <= self.min_han <= 1:
            raise ValueError(f"--min-han {self.min_han}: a share lies between 0 and 1")
        if self.min_chars < 0:
            raise ValueError(f"--min-chars {self.min_chars}: must be at least 0")
        if self.max_chars is not None and self.max_chars < self.min_chars:
            raise ValueError(f"--max-chars {self.max_chars} is below --min-chars {self.min_chars}")


def document_steps(rules: Rules) -> tuple[Step, ...]:
    """The document steps in order; the cheap ones first."""
    return (normalise, quality.length(rules.min_chars, rules.max_chars), quality.han(rules.min_han))

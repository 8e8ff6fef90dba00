"""What the document steps of each kind cost and keep: MB of UTF-8 a CPU second on one core, step by step.

    python bench/steps.py FILE... [--kind web] [--rows 1000]

Each FILE in any format that `yanmo clean` reads. CPU time, the best of three rounds; a step sees what the steps
before it made of the documents that they kept. "all" is what `clean` runs, with the rewriting steps run until
nothing changes any more. Below it: rows dropped by reason, and the share of characters that stay.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from yanmo.text.adapters import DOCUMENTS
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Row
from yanmo.text.files.sources import look
from yanmo.text.reading import find_format
from yanmo.text.step import Drop, Step, run_steps
from yanmo.text.steps.blocklist import blocked
from yanmo.text.steps.kinds import PROFILES
from yanmo.text.steps.quality import proportions
from yanmo.text.steps.repetition import repetition
from yanmo.text.steps.rules import Rules, block_lists, document_steps, rewriting_steps, source_kind

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--kind", default="auto", choices=["auto", *PROFILES])
    parser.add_argument("--rows", type=int, default=1000)
    arguments = parser.parse_args()
    for path in arguments.files:
        measure(path, Rules(kind=arguments.kind), arguments.rows)


def measure(path: Path, rules: Rules, rows: int) -> None:
    source = look(path)
    format = find_format(source, DOCUMENTS)
    kind = source_kind(rules, format)
    profile = PROFILES[kind]
    texts = []
    for row in islice((row for row in read_rows(source) if isinstance(row, Row)), rows):
        text = row.value if isinstance(row.value, str) else DOCUMENTS[format].read(row.value)
        if isinstance(text, str):
            texts.append(text)
    size = sum(len(text.encode("utf-8", "ignore")) for text in texts) / 1e6
    print(f"{path.name}: {format} as {kind}, {len(texts):,} documents, {size:.1f} MB")

    steps: dict[str, Step] = {step.__name__: step for step in rewriting_steps(rules, profile)}
    if "step" in steps:
        steps["without_boilerplate"] = steps.pop("step")
    steps["proportions"] = proportions(profile, profile.min_han)
    if lists := block_lists(rules, profile):
        steps["blocked"] = blocked(lists)
    steps["repetition"] = repetition(profile)
    current = texts
    for name, step in steps.items():
        seconds, results = timed(step, current)
        print(f"  {name:<22}{size / seconds:>8.0f} MB/s")
        current = [text for text in results if isinstance(text, str)]
    whole = document_steps(rules, kind)
    seconds, results = timed(lambda text: run_steps(text, whole), texts)
    print(f"  {'all':<22}{size / seconds:>8.1f} MB/s")
    dropped = Counter(result.reason for result in results if isinstance(result, Drop))
    before, after = sum(map(visible, texts)), sum(visible(text) for text in results if isinstance(text, str))
    reasons = ", ".join(f"{reason} {number}" for reason, number in dropped.most_common()) or "none"
    print(f"  characters kept {100 * after / before:.2f} %; rows dropped {dropped.total()}: {reasons}", flush=True)


def timed(step: Step | Callable[[str], str | Drop], texts: list[str]) -> tuple[float, list[str | Drop]]:
    """CPU seconds of the best round, and what the step gave."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        results = [step(text) for text in texts]
        best = min(best, time.process_time() - start)
    return best, results


def visible(text: str) -> int:
    return len("".join(text.split()))


if __name__ == "__main__":
    main()

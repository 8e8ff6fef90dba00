"""What a vocabulary holds and how well it compresses: figures to judge a tokenizer by before training on it.

`describe` makes the report of one tokenizer, which is what `report.json` holds; `tables` sets the reports of any
number of them side by side, for every command that shows one.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from yanmo.tokenizer.hanzi import PUNCTUATION, STANDARD_LEVELS, level_1, level_2, standard
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.scripts import scripts_of

Table = tuple[str, list[str], list[list[Any]]]
"""Title, columns and rows, as `Run.table` takes them."""

LONGEST = 12
LEARNED = 30
"""How many of the longest tokens, and of all tokens of several characters, a report shows."""

KINDS = 12
"""Kinds of entries that the table of several tokenizers names; `report.json` has them all."""

FIGURES = ("characters/token", "bytes/token", "byte-fallback tokens, %")
"""What is measured on each domain."""

TOGETHER = 64
"""Texts encoded at once."""

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


def vocabulary_by_script(tokenizer: Tokenizer) -> dict[str, int]:
    """How many entries are what: control, part of a character, Han (one, several), latin, ... They add up."""
    kinds: Counter[str] = Counter()
    for number, data in enumerate(tokenizer.token_bytes):
        kinds["control" if number in tokenizer.special_ids else kind_of(data)] += 1
    return dict(kinds.most_common())


def kind_of(data: bytes) -> str:
    """What a token holds: Han characters, another script, a part of a character, ..."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        characters = sum(byte & 0xC0 != 0x80 for byte in data) + (data[0] & 0xC0 == 0x80)
        return "part of a character" if characters < 2 else "parts of several characters"
    scripts = scripts_of(text) - {"space"}
    if scripts == {"han"}:
        return "Han, one" if len(text.strip()) == 1 else "Han, several"
    if "han" in scripts and scripts <= {"han", "punctuation", "symbol"}:
        return "Han with punctuation"
    if scripts <= {"punctuation", "symbol"}:
        return "punctuation" if scripts else "space"
    return next(iter(scripts)) if len(scripts) == 1 else "mixed"


def totals(tokenizer: Tokenizer) -> dict[str, int]:
    """Entries that have a Han character, that are ASCII alone (control tokens by their names), that hold parts."""
    found = {"with Han": 0, "ASCII alone": 0, "parts of characters": 0}
    for number, data in enumerate(tokenizer.token_bytes):
        if number in tokenizer.special_ids:
            data = (tokenizer.backend.id_to_token(number) or "").encode()
        kind = kind_of(data)
        found["ASCII alone"] += bool(data) and data.isascii()
        found["parts of characters"] += kind.startswith("part")
        found["with Han"] += not kind.startswith("part") and "han" in scripts_of(data.decode())
    return found


def character_sets() -> dict[str, Sequence[str]]:
    """The sets whose coverage a report gives, by their names there."""
    common, usual, everything = STANDARD_LEVELS
    return {
        "gb2312_level_1": level_1(),
        "gb2312_level_2": level_2(),
        f"standard_{common}": standard()[:common],
        f"standard_{usual}": standard()[:usual],
        f"standard_{everything}": standard(),
        "punctuation": PUNCTUATION,
    }


def coverage(tokenizer: Tokenizer, characters: Sequence[str]) -> dict[str, Any]:
    """How many of the characters are one token inside a text, and the first that are not.

    SentencePiece models put a space before a text; so a letter is put there, and what it alone costs is taken off.
    """
    around = len(tokenizer.encode("a"))
    encoded = tokenizer.encode_batch([f"a\n{character}" for character in characters])
    newline = len(tokenizer.encode("a\n")) - around
    missing = [c for c, ids in zip(characters, encoded, strict=True) if len(ids) != around + newline + 1]
    return {"of": len(characters), "single": len(characters) - len(missing), "missing": "".join(missing[:100])}


def fallbacks(tokenizer: Tokenizer) -> np.ndarray:
    """(vocab_size,) bool: the tokens that are bytes for want of a character, or parts of one."""
    table = np.zeros(tokenizer.vocab_size, dtype=bool)
    for number, data in enumerate(tokenizer.token_bytes):
        name = tokenizer.backend.id_to_token(number) or ""
        table[number] = _BYTE_PIECE.fullmatch(name) is not None or kind_of(data).startswith("part")
    return table


def compression(tokenizer: Tokenizer, texts: Iterable[str], fallback: np.ndarray | None = None) -> dict[str, float]:
    """Over all the texts together: characters and bytes of UTF-8 per token, and the share of byte-fallback tokens."""
    fallback = fallbacks(tokenizer) if fallback is None else fallback
    tokens = characters = size = parts = 0
    iterator = iter(texts)
    while some := list(islice(iterator, TOGETHER)):
        ids = np.concatenate([np.array(ids, dtype=np.int64) for ids in tokenizer.encode_batch(some)])
        tokens += len(ids)
        parts += int(fallback[ids].sum())
        characters += sum(map(len, some))
        size += sum(len(text.encode("utf-8", "replace")) for text in some)
    return {
        "tokens": tokens,
        "characters": characters,
        "characters_per_token": round(characters / max(1, tokens), 4),
        "bytes_per_token": round(size / max(1, tokens), 4),
        "fallback_share": round(parts / max(1, tokens), 5),
    }


def examples(tokenizer: Tokenizer) -> dict[str, list[str]]:
    """The longest tokens of Han characters and of anything else, and some of several characters, by lot."""
    texts = [data.decode() for data in tokenizer.token_bytes if data and not kind_of(data).startswith("part")]
    several = [text for text in texts if len(text.strip()) > 1]
    several.sort(key=lambda text: (-len(text), text))
    han = [text for text in several if kind_of(text.encode()) == "Han, several"]
    other = [text for text in several if "Han" not in kind_of(text.encode())]
    learned = random.Random(0).sample(several, min(LEARNED, len(several)))
    return {"longest_han": han[:LONGEST], "longest_other": other[:LONGEST], "learned": learned}


def describe(tokenizer: Tokenizer, domains: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The report of a tokenizer; its compression on texts it was not trained on, by domain and over all."""
    fallback = fallbacks(tokenizer)
    return {
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": tokenizer.fingerprint,
        "vocabulary": vocabulary_by_script(tokenizer),
        "totals": totals(tokenizer),
        **{name: coverage(tokenizer, characters) for name, characters in character_sets().items()},
        "held_out": compression(tokenizer, (text for texts in domains.values() for text in texts), fallback),
        "held_out_by_source": {
            name: compression(tokenizer, texts, fallback) for name, texts in sorted(domains.items())
        },
        "examples": examples(tokenizer),
    }


def tables(reports: Mapping[str, dict[str, Any]]) -> list[Table]:
    """Reports side by side, by the names of their tokenizers; all were made on the same domains."""
    names, columns = list(reports), list(reports.values())
    kinds: Counter[str] = Counter()
    for report in columns:
        kinds.update(report["vocabulary"])
    shown = [kind for kind, _ in kinds.most_common(KINDS)]
    vocabulary = [[kind, *(report["vocabulary"].get(kind, 0) for report in columns)] for kind in shown]
    rest = [report["vocab_size"] - sum(report["vocabulary"].get(kind, 0) for kind in shown) for report in columns]
    if any(rest):
        vocabulary.append(["other scripts", *rest])
    vocabulary.append(["all", *(report["vocab_size"] for report in columns)])
    vocabulary += [
        [f"of them {name}", *(report["totals"][name] for report in columns)] for name in columns[0]["totals"]
    ]
    covered = [
        [name.replace("_", " "), columns[0][name]["of"], *(report[name]["single"] for report in columns)]
        for name in character_sets()
    ]
    found: list[Table] = [
        ("Vocabulary", ["entries are", *names], vocabulary),
        ("Characters that are one token", ["set", "characters", *names], covered),
    ]
    if not columns[0]["held_out"]["tokens"]:
        return found
    measures = {name: _measures(report) for name, report in reports.items()}
    if len(names) == 1:
        rows = [[source, *values] for source, values in measures[names[0]].items()]
        return [*found, ("Held-out text", ["source", *FIGURES], rows)]
    for number, title in enumerate(FIGURES):
        rows = [[source, *(measures[name][source][number] for name in names)] for source in measures[names[0]]]
        found.append((f"Held-out text: {title}", ["source", *names], rows))
    return found


def _measures(report: dict[str, Any]) -> dict[str, list[float]]:
    """`FIGURES` of every domain, and of all."""
    domains = {**report["held_out_by_source"], "all": report["held_out"]}
    return {
        name or "-": [part["characters_per_token"], part["bytes_per_token"], round(100 * part["fallback_share"], 3)]
        for name, part in domains.items()
    }


def lines(report: dict[str, Any]) -> list[str]:
    """A look at the tokens of one report, as lines."""
    titles = {"longest_han": "longest", "longest_other": "longest of other scripts", "learned": "some at random"}
    shown = {title: " ".join(map(visible, report["examples"][key])) for key, title in titles.items()}
    return [f"{title}: {line}" for title, line in shown.items() if line]


def visible(text: str) -> str:
    """A token with its spaces and line ends to be seen."""
    return text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")

"""The tokenizer's report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yanmo.tokenizer.foreign import name_of, open_any
from yanmo.tokenizer.load import Tokenizer
from yanmo.tokenizer.report import (
    LEARNED,
    compression,
    coverage,
    describe,
    kind_of,
    lines,
    tables,
    visible,
    vocabulary_by_script,
)

DATA = Path(os.environ.get("YANMO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tokenizers"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("我", "Han, one"),
        (" 我", "Han, one"),
        ("我们", "Han, several"),
        ("，但是", "Han with punctuation"),
        (" the", "latin"),
        ("7", "digit"),
        ("。\n", "punctuation"),
        ("\n\n", "space"),
        ("A股", "mixed"),
        ("の", "kana"),
        ("+", "punctuation"),
    ],
)
def test_kinds(text: str, kind: str) -> None:
    assert kind_of(text.encode()) == kind


def test_parts_of_characters() -> None:
    assert kind_of("我".encode()[:2]) == "part of a character"
    assert kind_of("我".encode()[2:]) == "part of a character"
    assert kind_of("，我".encode()[:4]) == "parts of several characters"


def test_counts_add_up(tokenizer: Tokenizer) -> None:
    assert sum(vocabulary_by_script(tokenizer).values()) == tokenizer.vocab_size
    figures = compression(tokenizer, ["张明在北京", "a"])
    tokens = len(tokenizer.encode("张明在北京")) + 1
    assert figures["characters_per_token"] == round(6 / tokens, 4)
    assert figures["bytes_per_token"] == round(16 / tokens, 4)
    report = describe(tokenizer, {"a": ["张明"], "b": ["李华"]})
    assert report["gb2312_level_1"]["of"] == 3755
    assert report["standard_8105"]["of"] == 8105
    assert report["held_out"]["characters"] == 4
    assert len(report["examples"]["learned"]) <= LEARNED


def test_fallback_is_what_stands_for_a_missing_character(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("张龘")
    missing = len(ids) - 1
    assert missing > 1  # 龘 is no token of the small vocabulary
    assert compression(tokenizer, ["张龘"])["fallback_share"] == round(missing / len(ids), 5)
    assert compression(tokenizer, ["张"])["fallback_share"] == 0
    assert coverage(tokenizer, "张龘") == {"of": 2, "single": 1, "missing": "龘"}


def test_tables_side_by_side(tokenizer: Tokenizer) -> None:
    report = describe(tokenizer, {"web": ["张明在北京"], "verse": ["李华"]})
    alone = {title: rows for title, _, rows in tables({"one": report})}
    assert [row[0] for row in alone["Held-out text"]] == ["verse", "web", "all"]
    both = {title: (columns, rows) for title, columns, rows in tables({"one": report, "two": report})}
    columns, rows = both["Held-out text: characters/token"]
    assert columns == ["source", "one", "two"]
    assert rows[-1] == ["all", *[report["held_out"]["characters_per_token"]] * 2]
    _, rows = both["Vocabulary"]
    assert ["all", tokenizer.vocab_size, tokenizer.vocab_size] in rows
    assert all(row[1] == row[2] for row in rows)
    untested = tables({"one": describe(tokenizer, {})})  # what `yanmo doctor` has: no text
    assert [title for title, *_ in untested] == ["Vocabulary", "Characters that are one token"]


def test_a_look_at_tokens(tokenizer: Tokenizer) -> None:
    assert visible(" a\n") == "␣a⏎"
    report = describe(tokenizer, {})
    longest = report["examples"]["longest_han"]
    assert longest == sorted(longest, key=lambda text: (-len(text), text))
    assert any(line.startswith("some at random: ") for line in lines(report))


def test_names(tmp_path: Path) -> None:
    assert name_of(tmp_path / "qwen" / "tokenizer.json") == "qwen"
    assert name_of(tmp_path / "qwen") == "qwen"
    assert name_of(tmp_path / "cl100k_base.tiktoken") == "cl100k_base"


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer there"):
        open_any(tmp_path)


def test_a_tokenizer_json_alone(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(tokenizer.backend.to_str(), encoding="utf-8")
    other = open_any(tmp_path / "other.json")
    assert other.encode("张明在北京 <|im_end|>") == tokenizer.encode("张明在北京 <|im_end|>")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real tokenizers in {DATA.parent} (YANMO_DATA)")
def test_real_tokenizers() -> None:
    """The shares that requirement B5 names, and what a SentencePiece model without its first space is."""
    matelike = describe(open_any(DATA / "matelike_6400"), {})
    assert matelike["totals"] == {"with Han": 2460, "ASCII alone": 3446, "parts of characters": 467}
    pruned = describe(open_any(DATA / "chatglm2_pruned_35k"), {"x": ["他说：·【】°×，ＡＢ"]})
    assert pruned["standard_3500"]["single"] == 3500
    assert set("·【】°×") <= set(pruned["punctuation"]["missing"])
    assert pruned["held_out"]["fallback_share"] > 0.3

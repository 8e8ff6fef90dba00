"""What a file is: every fixture of every format for its own use, and counts that are exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.text.test_adapters import CASES as DOCUMENT_ROWS
from tests.text.test_conversations import FORMATS as CONVERSATION_ROWS
from tests.text.test_conversations import write
from tests.text.test_preferences import FORMATS as PREFERENCE_ROWS
from yanmo.text.conversations import CONVERSATIONS
from yanmo.text.examine import USES, examine
from yanmo.text.preferences import PREFERENCES

ROWS: list[tuple[str, str, dict[str, Any]]] = [
    *(("preferences", name, row) for name, row, _ in PREFERENCE_ROWS),
    *(("conversations", name, row) for name, (row, _) in CONVERSATION_ROWS.items()),
    *(
        ("documents", name, row)
        for name, row, _ in DOCUMENT_ROWS
        if name not in CONVERSATIONS and name not in PREFERENCES
    ),
]


@pytest.mark.parametrize("use, name, row", ROWS)
def test_every_format_is_recognised_among_all_of_them(tmp_path: Path, use: str, name: str, row: dict[str, Any]) -> None:
    found = examine(write(tmp_path / "a.jsonl", [row] * 3))
    assert (found.use, found.format) == (use, name)
    assert (found.rows, found.broken.count, found.rejected.count, found.duplicates) == (3, 0, 0, 2)
    assert found.samples[0][-1].text


def test_counts_places_and_encodings(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"第{n}行写着普通的文字。"}, ensure_ascii=False).encode() for n in range(100)]
    rows[10] = rows[3]
    rows[20] = b'{"text": "\xff"}'
    rows[30] = '{"text": "这是没有转换编码的一行"}'.encode("gb18030")
    rows[40] = b'{"text": 7}'
    rows[50] = '{"text": "第３行写着普通的文字。"}'.encode()  # row 3 in wide digits
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    found = examine(tmp_path / "a.jsonl")
    assert found.whole and found.rows == 100
    assert found.broken.reasons == {"invalid_encoding": 1} and found.broken.first[0].startswith(
        f"{tmp_path}/a.jsonl:21"
    )
    assert found.rejected.reasons == {"wrong_type": 1} and found.rejected.first[0].startswith(f"{tmp_path}/a.jsonl:41")
    assert found.duplicates == 2
    assert found.encodings == {"utf-8": 98, "gb18030": 1}
    assert len(found.lengths) == 98 and found.characters == sum(found.lengths)
    assert found.han_share > 0.6 and found.traditional_share == 0


def test_traditional_writing_is_noticed(tmp_path: Path) -> None:
    found = examine(write(tmp_path / "a.jsonl", [{"text": "說話與書寫，這裡是繁體字。"}] * 3))
    assert found.traditional_share == 1
    found = examine(write(tmp_path / "b.jsonl", [{"text": "天地人"}] * 3))
    assert found.traditional_share is None


def test_a_long_file_is_read_in_part(tmp_path: Path) -> None:
    rows = [{"text": f"{n} " + "文字" * 2000} for n in range(1000)]
    found = examine(write(tmp_path / "a.jsonl", rows), limit=400_000)
    assert not found.whole and 90 < found.rows < 300
    assert found.rows / found.share_read == pytest.approx(1000, rel=0.1)


def test_a_long_file_of_broken_rows_is_read_in_part_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": \n' * 500_000)
    found = examine(tmp_path / "a.jsonl", limit=100_000)
    assert not found.whole and found.rows == found.broken.count < 250_000 and found.use is None


def test_unknown_rows_are_shown_by_their_keys(tmp_path: Path) -> None:
    found = examine(write(tmp_path / "a.jsonl", [{"正文": None}, {"正文": "文", "n": 3}]))
    assert found.use is None
    assert found.keys == {"正文": "str '文'", "n": "int 3"}


def test_the_documentation_lists_every_format() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    for formats in USES.values():
        for name, known in formats.items():
            keys = " ".join(f"`{key}`" for key in known.keys)
            assert f"| `{name}` | {keys} | {', '.join(known.corpora)} |" in page, f"docs/formats.md lacks {name}"

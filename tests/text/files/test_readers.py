"""Every kind of file and every kind of damage: nothing is lost silently, nothing stops the stream."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from yanmo.text.files.damage import Damage
from yanmo.text.files.lines import PIECE_CHARACTERS
from yanmo.text.files.readers import read_rows
from yanmo.text.files.rows import Broken, Row
from yanmo.text.files.sources import find_files, look, other_encoding
from yanmo.text.step import Drop

ROWS = [{"text": f"第{n}行，有“引号”、\t和 English。\n第二段", "n": n} for n in range(50)]
COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(COMPRESS[path.suffix if path.suffix in COMPRESS else ""](data))
    return path


def read(path: Path, **options: Any) -> list[Row | Broken]:
    return list(read_rows(look(path, **options)))


def values(path: Path, **options: Any) -> list[Any]:
    rows = read(path, **options)
    assert all(isinstance(row, Row) for row in rows), [row for row in rows if isinstance(row, Broken)]
    return [row.value for row in rows if isinstance(row, Row)]


def broken(path: Path, **options: Any) -> dict[int, str]:
    return {row.number: row.drop.reason for row in read(path, **options) if isinstance(row, Broken)}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_json_lines_and_arrays_in_every_compression(tmp_path: Path, suffix: str) -> None:
    assert values(write(tmp_path / f"a.jsonl{suffix}", lines(ROWS))) == ROWS
    array = json.dumps(ROWS, ensure_ascii=False, indent=2).encode()
    assert values(write(tmp_path / f"a.json{suffix}", array)) == ROWS


def test_what_json_holds_is_seen_not_believed(tmp_path: Path) -> None:
    assert values(write(tmp_path / "lines.json", lines(ROWS))) == ROWS
    assert values(write(tmp_path / "array.jsonl", b"  " + json.dumps(ROWS).encode())) == ROWS
    assert values(write(tmp_path / "one.json", json.dumps(ROWS[0], indent=1).encode())) == ROWS[:1]
    several = b"\n".join(json.dumps(row, indent=1).encode() for row in ROWS)
    assert values(write(tmp_path / "several.json", several)) == ROWS


def test_several_compressed_members_are_one_file(tmp_path: Path) -> None:
    for suffix in (".gz", ".bz2", ".xz", ".zst"):
        path = tmp_path / f"a.jsonl{suffix}"
        path.write_bytes(COMPRESS[suffix](lines(ROWS[:20])) + COMPRESS[suffix](lines(ROWS[20:])))
        assert values(path) == ROWS


def test_byte_order_mark_crlf_and_blank_lines(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + lines(ROWS).replace(b"\n", b"\r\n\r\n")
    rows = read(write(tmp_path / "a.jsonl", data))
    assert [row.value for row in rows if isinstance(row, Row)] == ROWS
    assert [row.number for row in rows] == list(range(1, 100, 2))  # places are lines of the file
    assert values(write(tmp_path / "a.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode())) == ROWS
    assert values(write(tmp_path / "a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n")) == [{"a": "1", "b": "2"}]


def test_broken_lines_are_found_exactly(tmp_path: Path) -> None:
    good = lines(ROWS).splitlines()
    good[3] = b'{"text": "\xff\xfe"}'
    good[7] = '{"text": "两字"}'.encode("gb18030")
    good[11] = b'{"text": "no end'
    good[13] = b'{"text": "\x00"}'
    good[17] = b'["text"]'
    good[19] = b"[" * 100_000
    path = write(tmp_path / "a.jsonl", b"\n".join(good) + b'\n{"text": "cut')
    assert broken(path) == {
        4: "invalid_encoding",
        8: "invalid_encoding",
        12: "invalid_json",
        14: "invalid_json",
        18: "not_an_object",
        20: "invalid_json",
        51: "invalid_json",
    }
    rows = read(path)
    assert len(rows) == 51
    assert "looks like GB18030" in next(row.drop.detail for row in rows if isinstance(row, Broken) and row.number == 8)


def test_nan_and_half_surrogates_are_read(tmp_path: Path) -> None:
    (first, second) = values(write(tmp_path / "a.jsonl", b'{"text": "a", "s": NaN}\n{"text": "\\ud83d"}\n'))
    assert first["text"] == "a" and second["text"] == "\ud83d"


@pytest.mark.parametrize("length", [10_000, 3_000_000])
def test_a_line_that_is_too_long_is_one_broken_row(tmp_path: Path, length: int) -> None:
    data = lines(ROWS[:2]) + b'{"text": "' + b"x" * length + b'"}\n' + lines(ROWS[2:4])
    rows = read(write(tmp_path / "a.jsonl", data), max_row_bytes=5_000)
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert isinstance(rows[2], Broken) and rows[2].drop.reason == "row_too_long"


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "txt"])
def test_a_truncated_stream_keeps_what_came_before(tmp_path: Path, suffix: str, kind: str) -> None:
    rows = [{"text": f"{n} " + str(hash((n, 1)))} for n in range(30_000)]  # several compressed blocks
    data = {
        "jsonl": lines(rows),
        "json": json.dumps(rows).encode(),
        "csv": b"text\n" + b"".join(row["text"].encode() + b"\n" for row in rows),
        "txt": b"".join(row["text"].encode() + b"\n" for row in rows),
    }[kind]
    packed = {".bz2": lambda data: bz2.compress(data, 1)}.get(suffix, COMPRESS[suffix])(data)
    path = tmp_path / f"a.{kind}{suffix}"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    found = read(path, txt_documents="line")
    good = [row.value for row in found if isinstance(row, Row)]
    assert len(good) > 1000
    assert good == [row["text"] if kind == "txt" else row for row in rows[: len(good)]]
    bad = [row for row in found if isinstance(row, Broken)]
    assert len(bad) == 1 and bad[0] is found[-1]
    assert bad[0].drop.reason == "truncated"


def test_garbage_instead_of_a_compressed_file(tmp_path: Path) -> None:
    for suffix in (".gz", ".bz2", ".xz", ".zst"):
        path = tmp_path / f"a.jsonl{suffix}"
        path.write_bytes(b"this was never compressed\n" * 10)
        assert broken(path) == {1: "truncated"}


def test_an_invalid_byte_in_an_array_costs_one_row(tmp_path: Path) -> None:
    data = json.dumps(ROWS, ensure_ascii=False).encode().replace("第7行".encode(), b"\xff\xfe7")
    rows = read(write(tmp_path / "a.json", data))
    assert [row.number for row in rows] == list(range(1, 51))
    assert {row.number: row.drop.reason for row in rows if isinstance(row, Broken)} == {8: "invalid_encoding"}


def test_an_array_that_breaks_off(tmp_path: Path) -> None:
    data = json.dumps(ROWS).encode()
    rows = read(write(tmp_path / "cut.json", data[: len(data) // 2]))
    assert [row.value for row in rows[:-1]] == ROWS[: len(rows) - 1]  # type: ignore[union-attr]
    assert isinstance(rows[-1], Broken) and rows[-1].drop.reason == "truncated" and len(rows) > 20
    wrong = data.replace(b'"n": 30}, {', b'"n": 30} {')
    rows = read(write(tmp_path / "wrong.json", wrong))
    assert len(rows) == 32 and isinstance(rows[-1], Broken) and rows[-1].drop.reason == "invalid_json"


def test_gb18030_is_recognised(tmp_path: Path) -> None:
    rows = [{"问": f"这是第{n}个问题，用的是旧编码吗？", "答": "是的，“国标”编码，含㐀和𠮷。"} for n in range(300)]
    table = "问,答\n" + "".join(f"{row['问']},{row['答']}\n" for row in rows)
    files = {
        "a.csv": table.encode("gb18030"),
        "a.jsonl": lines(rows).decode().encode("gb18030"),
        "a.json.gz": json.dumps(rows, ensure_ascii=False).encode("gb18030"),
    }
    for name, data in files.items():
        assert look(write(tmp_path / name, data)).encoding == "gb18030"
        assert values(tmp_path / name) == rows
    text = write(tmp_path / "a.txt", "很久很久以前，有一座山。\n山里有座庙。".encode("gb18030"))
    assert values(text) == ["很久很久以前，有一座山。\n山里有座庙。"]


def test_a_damaged_utf8_file_stays_utf8(tmp_path: Path) -> None:
    data = lines(ROWS).replace("第9行".encode(), b"\xb5\xda\xff9")
    assert look(write(tmp_path / "a.jsonl", data)).encoding == "utf-8"
    assert broken(tmp_path / "a.jsonl") == {10: "invalid_encoding"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_refused_with_the_way_out(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.jsonl", lines(ROWS).decode().encode(encoding))
    with pytest.raises(ValueError, match=rf"{encoding.upper().replace('6-', '6')}.*iconv"):
        look(path)


def test_lines_of_another_encoding_are_decoded_where_that_is_certain(tmp_path: Path) -> None:
    foreign = "这是一行没有转码的旧文字，后面还有English。"
    for own, other in (("utf-8", "gb18030"), ("gb18030", "utf-8")):
        text = [f'{{"text": "第{n}行写的是普通的文字"}}' for n in range(20)]
        data = [line.encode(own) for line in text]
        data[5] = f'{{"text": "{foreign}"}}'.encode(other)
        source = look(write(tmp_path / f"{own}.jsonl", b"\n".join(data)))
        assert source.encoding == own
        rows = [row for row in read_rows(source) if isinstance(row, Row)]
        assert len(rows) == 20
        assert {row.number: row.encoding for row in rows if row.encoding} == {6: other}
        assert rows[5].value == {"text": foreign}
        data = [line.encode(own) for line in ("a,b", "甲乙丙丁,一二三四")] + [f"{foreign},x".encode(other)]
        table = write(tmp_path / f"{own}.csv", b"\n".join(data))
        assert values(table, encoding=own)[1] == {"a": foreign, "b": "x"}


HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)
PAIRS_TOO = st.sampled_from([c for c in map(chr, range(0x4E00, 0x9FA6)) if min(c.encode()) > 0xA0])
"""Characters whose three bytes could all be halves of GB2312 characters."""


@given(st.text(HAN | PAIRS_TOO, min_size=4), st.integers(0, 200), st.binary(max_size=2))
def test_damaged_utf8_is_never_taken_for_gb18030(text: str, place: int, damage: bytes) -> None:
    line = text.encode()
    line = line[: place % len(line)] + damage + line[place % len(line) + 1 :]
    assume("\ufffd" in line.decode("utf-8", "replace"))
    assert other_encoding(line, "utf-8") is None


def test_the_closest_that_damaged_utf8_comes_to_gb18030() -> None:
    """Four of five characters of the first level; that is not enough."""
    damaged = ("广" * 4).encode()[2:]
    assert len(damaged.decode("gb2312")) == 5 and other_encoding(damaged, "utf-8") is None


def test_arrays_within_an_object(tmp_path: Path) -> None:
    for key, before in (("RECORDS", ""), ("data", '"version": "1.0", "count": 3, ')):
        for indent in (None, 1):
            text = json.dumps({key: ROWS}, ensure_ascii=False, indent=indent).replace("{", "{" + before, 1)
            assert values(write(tmp_path / "wrapped.json", text.encode())) == ROWS
    single = json.dumps({"RECORDS": ROWS[:1]}).encode()
    assert values(write(tmp_path / "single.json", single)) == ROWS[:1]
    nested = [{"data": [{"a": 1}]}, {"data": [{"a": 2}]}]
    assert values(write(tmp_path / "lines.json", lines(nested))) == nested
    turns = {"messages": [{"role": "user", "content": "问"}]}
    assert values(write(tmp_path / "one.jsonl", lines([turns]))) == [turns]


def test_an_endless_value_in_an_array_does_not_fill_the_memory(tmp_path: Path) -> None:
    for value in (b'"' + b"x" * 3_000_000 + b'"', b"[" + b'"x",' * 700_000 + b"0]"):
        data = b'[{"n": 1}, {"text": ' + value + b'}, {"n": 2}]'
        rows = read(write(tmp_path / "a.json", data), max_row_bytes=100_000)
        assert [row.value for row in rows[:-1] if isinstance(row, Row)] == [{"n": 1}]
        assert isinstance(rows[-1], Broken) and rows[-1].drop.reason == "row_too_long"


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    for name, words in (("a.bin", "yanmo pack"), ("a.zip", "unzip"), ("a.tar.gz", "tar xf"), ("a.docx", ".jsonl")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ValueError, match=words):
            find_files([tmp_path / name])


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="pipe"):
        find_files([tmp_path / "a.jsonl"])


def test_csv_fields_with_newlines_and_rows_with_holes(tmp_path: Path) -> None:
    data = 'q,a\n1,"一行\r\n又一行，""引用"""\n\n2,b,c\n3\n4,好\n'.encode() + b"5,\xff\n6,x\n"
    rows = read(write(tmp_path / "a.csv", data))
    assert [row.value for row in rows if isinstance(row, Row)] == [
        {"q": "1", "a": '一行\n又一行，"引用"'},
        {"q": "4", "a": "好"},
        {"q": "6", "a": "x"},
    ]
    assert [(row.number, row.drop.reason) for row in rows if isinstance(row, Broken)] == [
        (5, "invalid_csv"),
        (6, "invalid_csv"),
        (8, "invalid_encoding"),
    ]


def test_a_quotation_mark_that_is_not_closed_costs_its_own_line(tmp_path: Path) -> None:
    for close in ("", '6,"尾"说"\n'):  # nothing closes it; a later mark seems to
        data = f'q,a\n1,一\n2,"二\n3,三\n4,"四\n还是四"\n5,五\n{close}'
        rows = read(write(tmp_path / "a.csv", data.encode()))
        good = [row.value for row in rows if isinstance(row, Row)]
        assert good[:4] == [
            {"q": "1", "a": "一"},
            {"q": "3", "a": "三"},
            {"q": "4", "a": "四\n还是四"},
            {"q": "5", "a": "五"},
        ]
        assert [row.number for row in rows if isinstance(row, Broken)] == ([3, 8] if close else [3])
    many = b'q,a\n1,"' + b"x\n" * 4000 + b"2,y\n"
    rows = read(write(tmp_path / "b.csv", many), max_row_bytes=5000)
    assert len(rows) == 4001 and isinstance(rows[-1], Row)
    assert broken(write(tmp_path / "r.csv", b"q,a\n1,\r2\r3\n4,5\n")) == {2: "invalid_csv"}
    doubled = read(write(tmp_path / "c.csv", '"q","a"\n"1","他说"好"。"\n"2","二"\n'.encode()))
    assert [row.value["a"] for row in doubled if isinstance(row, Row)] == ['他说好"。"', "二"]  # type: ignore[index]


def test_tables_with_other_separators_and_impossible_headers(tmp_path: Path) -> None:
    for separator in "\t;":
        data = f"问{separator}答\n一,二{separator}三\n".encode()
        assert values(write(tmp_path / "a.csv", data)) == [{"问": "一,二", "答": "三"}]
    with pytest.raises(ValueError, match=r"a.csv:1: two columns are called 'q'"):
        read(write(tmp_path / "a.csv", b"q,q\n1,2\n"))
    assert values(write(tmp_path / "a.csv", b"q,a\n1,\x002\n")) == [{"q": "1", "a": "\x002"}]


def test_parquet_row_groups_columns_and_invalid_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=7)
    assert values(path) == ROWS
    assert [row.value for row in read_rows(look(path), columns=("n", "absent"))] == [  # type: ignore[union-attr]
        {"n": row["n"]} for row in ROWS
    ]
    binary = pa.array([b"good", b"\xff", b"fine"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": binary}), tmp_path / "b.parquet")
    assert broken(tmp_path / "b.parquet") == {2: "invalid_encoding"}
    (tmp_path / "c.parquet").write_bytes(path.read_bytes()[:500])
    assert broken(tmp_path / "c.parquet") == {1: "invalid_parquet"}


def test_a_damaged_row_group_costs_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [{"text": f"{n} 文字 {hash((n, 2))}"} for n in range(400)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100, use_dictionary=False, compression="zstd")
    meta = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = meta.data_page_offset
    data[start : start + meta.total_compressed_size] = bytes(meta.total_compressed_size)
    path.write_bytes(data)
    found = read(path)
    assert [row.number for row in found] == list(range(1, 401))
    assert [row.number for row in found if isinstance(row, Broken)] == list(range(101, 201))


def test_what_a_document_is_in_a_text_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n\n第一章\r\n从前\n\n第二章\n 后来 \n".encode())
    assert values(path) == ["第一章\n从前\n\n第二章\n 后来 "]
    assert values(path, txt_documents="line") == ["第一章", "从前", "第二章", " 后来 "]
    assert values(path, txt_documents="paragraph") == ["第一章\n从前", "第二章\n 后来 "]
    assert [row.number for row in read(path, txt_documents="paragraph")] == [3, 6]


def test_a_book_is_cut_at_lines_and_nothing_is_lost(tmp_path: Path) -> None:
    book = "\n".join(f"第{n}段。" + "话" * (n % 97) for n in range(5000))
    pieces = values(write(tmp_path / "book.txt", book.encode()))
    assert "\n".join(pieces) == book
    assert len(pieces) > 5 and max(map(len, pieces)) <= PIECE_CHARACTERS


@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_broken(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    folder = tmp_path_factory.mktemp("any")
    path = write(folder / "a.txt", data)
    rows = read(path, txt_documents="line", encoding="utf-8")
    assert len(rows) == sum(bool(line.strip()) for line in data.split(b"\n"))
    for name in ("a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"):
        (folder / name).write_bytes(data)
        read(folder / name)


def test_most_rows_broken_is_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "\n".join(f'{{"text": "第{n}行"}}' for n in range(300)).encode("gb18030"))
    damage = Damage(look(path, encoding="utf-8"))
    with pytest.raises(ValueError, match=r"100 of the first 100 rows are broken.*a.jsonl:1 .*--encoding gb18030"):
        for row in read(path, encoding="utf-8"):
            damage.add(1, [(row.number, row.drop)] if isinstance(row, Broken) else [])
    few = Damage(look(path))
    few.add(3, [(1, Drop("invalid_json")), (2, Drop("invalid_json"))])
    with pytest.raises(ValueError, match="2 of the first 3 rows"):
        Damage.check_all([few])


def test_files_of_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.jsonl.gz", "a/.hidden.txt", "readme.md", "a/10.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = [name for _, name in find_files([tmp_path, tmp_path / "b.txt"])]
    assert names == ["a/10.csv", "a/z.jsonl.gz", "b.txt"]
    (tmp_path / "a" / "b.txt").write_bytes(b"")
    names = [name for _, name in find_files([tmp_path / "b.txt", tmp_path / "a" / "b.txt"])]
    assert names == [f"{tmp_path.name}/b.txt", "a/b.txt"]
    for missing in ("nowhere", "readme.md"):
        with pytest.raises(ValueError, match=missing):
            find_files([tmp_path / missing])


BOMB = """
import sys
from pathlib import Path
from yanmo.text.files.readers import read_rows
from yanmo.text.files.sources import look
rows = list(read_rows(look(Path(sys.argv[1]))))
assert [row.drop.reason for row in rows] == [sys.argv[2]], rows
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name, reason", [("a.jsonl.zst", "row_too_long"), ("a.json.gz", "row_too_long")])
def test_a_compression_bomb_does_not_fill_the_memory(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    packer = zlib.compressobj(wbits=31) if name.endswith(".gz") else zstandard.ZstdCompressor().compressobj()
    packed = [packer.compress(b'["' if ".json." in name else b"{")]
    packed += [packer.compress(b"x" * 1_000_000) for _ in range(300)]
    path.write_bytes(b"".join(packed) + packer.flush())
    assert path.stat().st_size < 500_000
    done = subprocess.run([sys.executable, "-c", BOMB, path, reason], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 250_000

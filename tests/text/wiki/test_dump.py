"""Pages of a dump: however it is compressed, cut and damaged, every page comes once or is a row that says why not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanmo.cli import run
from yanmo.core.files import read_json, read_jsonl
from yanmo.text.files.readers import block_rows, read_blocks, read_rows
from yanmo.text.files.rows import Broken, Row
from yanmo.text.files.sources import look
from yanmo.text.pipeline.cleaning import clean_row
from yanmo.text.step import Drop
from yanmo.text.wiki import multistream
from yanmo.text.wiki.article import article
from yanmo.text.wiki.dump import page_ends, pages_until

HEAD = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" xml:lang="zh">\n  <siteinfo/>\n'
TAIL = "</mediawiki>\n"


def page(number: int, text: str, title: str = "", namespace: int = 0, redirect: bool = False) -> str:
    to = '    <redirect title="别处" />\n' if redirect else ""
    named = (
        f"    <title>{escape(title or f'條目{number}')}</title>\n    <ns>{namespace}</ns>\n    <id>{number}</id>\n{to}"
    )
    return (
        f"  <page>\n{named}"
        f"    <revision>\n      <id>{number + 900}</id>\n      <model>wikitext</model>\n"
        f'      <text bytes="9" sha1="x" xml:space="preserve">{escape(text)}</text>\n    </revision>\n  </page>\n'
    )


PAGES = [
    page(number, f"'''條目{number}'''是第{number}個，a < b && \"c\"，" + "內容" * (number * 37 % 90))
    for number in range(40)
]
XML = (HEAD + "".join(PAGES) + TAIL).encode()
STREAMS = [HEAD.encode(), *("".join(PAGES[at : at + 7]).encode() for at in range(0, 40, 7)), TAIL.encode()]


def streams(parts: Sequence[bytes]) -> bytes:
    return b"".join(map(bz2.compress, parts))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def rows(path: Path, **options: Any) -> list[Row | Broken]:
    return list(read_rows(look(path, **options)))


def ids(found: Sequence[Row | Broken]) -> list[str]:
    return [row.value["pageid"] for row in found if isinstance(row, Row) and isinstance(row.value, dict)]


def reasons(found: Sequence[Row | Broken]) -> list[tuple[int, str]]:
    return [(row.number, row.drop.reason) for row in found if isinstance(row, Broken)]


ALL = [str(number) for number in range(40)]
FORMS = {
    "plain.xml": XML,
    "multistream.xml.bz2": streams(STREAMS),
    "one.xml.bz2": bz2.compress(XML),
    "pbzip2.xml.bz2": streams(cut(XML, 700)),
    "a.xml.gz": gzip.compress(XML),
    "a.xml.zst": zstandard.ZstdCompressor().compress(XML),
    "a.xml.xz": lzma.compress(XML),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_page_comes_once(tmp_path: Path, name: str) -> None:
    found = rows(write(tmp_path / name, FORMS[name]))
    assert ids(found) == ALL and [row.number for row in found] == list(range(1, 41))
    first = found[0]
    assert isinstance(first, Row) and isinstance(first.value, dict)
    assert first.value["wikitext"] == "'''條目0'''是第0個，a < b && \"c\"，"
    assert look(tmp_path / name).place(3) == f"{tmp_path / name} page 3"


def read_in_ranges(path: Path, step: int) -> list[Row | Broken]:
    """As `clean` does it: ranges that know nothing of each other, their numbers put together afterwards."""
    source = look(path)
    found: list[Row | Broken] = []
    start, before = 0, 0
    for stop in (*page_ends(source, step), path.stat().st_size):
        until = 0
        for block in read_blocks(source, None, start, stop):
            found += [row._replace(number=row.number + before) for row in block_rows(block, source)]
            until = pages_until(block)
        start, before = stop, before + until
    return found


@pytest.mark.parametrize("name", ["plain.xml", "multistream.xml.bz2", "one.xml.bz2", "pbzip2.xml.bz2"])
@pytest.mark.parametrize("step", [1, 100, 333, 1000, 10_000_000])
def test_any_cut_gives_the_same_rows(tmp_path: Path, name: str, step: int) -> None:
    path = write(tmp_path / name, FORMS[name])
    assert read_in_ranges(path, step) == rows(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(30, 2500), st.integers(1, 900))
def test_streams_may_be_cut_anywhere(tmp_path: Path, size: int, step: int) -> None:
    path = write(tmp_path / "a.xml.bz2", streams(cut(XML[:4000] + TAIL.encode(), size)))
    assert read_in_ranges(path, step) == rows(path)


@pytest.mark.parametrize("name", ["multistream.xml.bz2", "one.xml.bz2", "pbzip2.xml.bz2", "plain.xml", "a.xml.gz"])
def test_what_came_before_a_break_is_kept(tmp_path: Path, name: str) -> None:
    data = FORMS[name]
    for length in range(len(data) // 9, len(data) - 14, len(data) // 9):
        found = rows(write(tmp_path / name, data[:length]))
        kept = ids(found)
        assert kept == ALL[: len(kept)]
        assert any(reason == "truncated" for _, reason in reasons(found))
        assert [row.number for row in found] == list(range(1, len(found) + 1))
    if name == "multistream.xml.bz2":
        assert len(kept) >= 35


def test_a_dump_that_ends_between_streams_is_truncated(tmp_path: Path) -> None:
    found = rows(write(tmp_path / "a.xml.bz2", streams(STREAMS[:-2])))
    assert ids(found) == ALL[:35] and reasons(found) == [(36, "truncated")]


def test_a_damaged_stream_costs_itself(tmp_path: Path) -> None:
    parts = [bz2.compress(part) for part in STREAMS]
    middle = bytearray(parts[3])
    middle[len(middle) // 2] ^= 0xFF
    found = rows(write(tmp_path / "a.xml.bz2", b"".join([*parts[:3], bytes(middle), *parts[4:]])))
    assert ids(found) == ALL[:14] + ALL[21:]
    assert reasons(found) == [(15, "truncated")]
    path = write(tmp_path / "b.xml.bz2", b"".join([*parts[:3], bytes(middle), *parts[4:]]))
    assert ids(read_in_ranges(path, 300)) == ALL[:14] + ALL[21:]


def test_bytes_behind_the_last_stream_mean_nothing(tmp_path: Path) -> None:
    assert ids(rows(write(tmp_path / "a.xml.bz2", streams(STREAMS) + b"\0" * 99))) == ALL


def test_what_is_no_dump(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a MediaWiki dump"):
        look(write(tmp_path / "a.xml", b"<html><body/></html>"))
    assert reasons(rows(write(tmp_path / "b.xml.bz2", b"no bz2 at all"))) == [(1, "truncated")]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (PAGES[1].replace("</text>", ""), "invalid_xml"),
        (PAGES[1].replace("<title>", "<name>"), "invalid_xml"),
        (PAGES[1].replace("是第", "<b>是第</b>"), "invalid_xml"),
        (PAGES[1].replace("是第", "&lol;是第"), "invalid_xml"),
        (PAGES[1].replace("是第", "& 是第"), "invalid_xml"),
        (PAGES[1].replace("  </page>", ""), "invalid_xml"),
        (PAGES[1].replace("是第", "\udcff是第"), "invalid_encoding"),
    ],
)
def test_a_broken_page_is_a_row_of_its_own(tmp_path: Path, broken: str, reason: str) -> None:
    text = HEAD + PAGES[0] + broken + PAGES[2] + TAIL
    found = rows(write(tmp_path / "a.xml", text.encode("utf-8", "surrogateescape")))
    assert ids(found) == ["0", "2"] and reasons(found) == [(2, reason)]


def test_entities_of_the_dump_itself_are_never_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE m [<!ENTITY a "哈">' + "".join(f'<!ENTITY a{n} "{"&a;" * 10}">' for n in range(9)) + "]>\n"
    bad = page(7, "x").replace(">x<", ">&a8;<")
    found = rows(write(tmp_path / "a.xml", (bomb + HEAD + PAGES[0] + bad + PAGES[2] + TAIL).encode()))
    assert ids(found) == ["0", "2"] and reasons(found) == [(2, "invalid_xml")]


def test_entities_that_xml_knows(tmp_path: Path) -> None:
    text = page(1, "x").replace(">x<", ">&lt;&gt;&quot;&apos;&#39;&#x4E00;&amp;lt;&#38;amp;<")
    row = rows(write(tmp_path / "a.xml", (HEAD + text + TAIL).encode()))[0]
    assert isinstance(row, Row) and isinstance(row.value, dict) and row.value["wikitext"] == "<>\"''一&lt;&amp;"


@pytest.mark.parametrize("name", ["a.xml", "a.xml.bz2"])
def test_a_huge_page_is_never_held(tmp_path: Path, name: str) -> None:
    huge = (HEAD + PAGES[0]).encode() + page(1, "").encode().replace(b"</text>", b"x" * 60_000_000 + b"</text>")
    data = huge + (PAGES[2] + TAIL).encode()
    path = write(tmp_path / name, bz2.compress(data) if name.endswith("bz2") else data)
    del data, huge
    tracemalloc.start()
    found = rows(path, max_row_bytes=2_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids(found) == ["0", "2"] and reasons(found) == [(2, "row_too_long")]
    assert peak < 30_000_000


def test_a_page_beyond_the_limit_within_a_block(tmp_path: Path) -> None:
    found = rows(
        write(tmp_path / "a.xml", (HEAD + PAGES[0] + page(1, "字" * 4000) + TAIL).encode()), max_row_bytes=9000
    )
    assert ids(found) == ["0"] and reasons(found) == [(2, "row_too_long")]


def test_a_mark_inside_of_a_stream_is_no_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multistream, "READ", 64)  # every mark lies across a read now and then
    path = write(tmp_path / "a.xml.bz2", streams(STREAMS))
    assert ids(rows(path)) == ALL and read_in_ranges(path, 50) == rows(path)


# What makes a document


def made(number: int = 1, text: str = "正文。", **options: Any) -> str | Drop:
    row = {"pageid": "1", "title": "題", "namespace": "0", "redirect": False, "wikitext": text}
    return article(row | options)


def test_which_pages_are_articles() -> None:
    assert made() == "題\n正文。"
    assert made(redirect=True) == made(text="#REDIRECT [[乙]]") == made(text="#重定向 [[乙]]") == Drop("redirect")
    assert made(namespace="14") == Drop("namespace", "namespace 14")
    for name in ("disambig", "消歧义", "Disambiguation", "人名消歧義", "hndis|王五"):
        assert made(text=f"甲可以指：\n* 乙\n{{{{{name}}}}}") == Drop("disambiguation"), name
    assert made(text="甲__DISAMBIG__") == Drop("disambiguation")
    assert made(text="{{Infobox|a=b}}[[Category:甲]]") == Drop("empty_page", "no text is left of the page")
    assert made(title="Re:從零開始", text="#重定向是一個詞") == "Re:從零開始\n重定向是一個詞"
    assert made(text="-{T|zh-cn:甲;zh-tw:乙}-正文。") == "\ufdd1甲\ufdd2\n正文。"


def test_a_page_that_is_no_article_is_not_broken(tmp_path: Path) -> None:
    source = look(write(tmp_path / "a.xml", (HEAD + page(5, "甲乙丙丁", redirect=True) + TAIL).encode()))
    row = next(iter(read_rows(source)))
    assert isinstance(row, Row) and isinstance(row.value, dict) and row.value["wikitext"] == ""
    removed = clean_row(row, source, "wiki", ())
    assert removed.drop == Drop("redirect") and not removed.broken  # type: ignore[union-attr]


def test_clean_takes_several_dumps(tmp_path: Path) -> None:
    """In parallel spans and at once, the same documents; no page of the second dump is lost, nor of the first."""
    han = "".join(map(chr, range(0x5000, 0x5600)))

    def text(n: int) -> str:
        prose = "，".join("".join(random.Random(f"{n} {k}").choices(han, k=12)) for k in range(60))
        return f"'''條目{n}'''：他看著橋樑，{prose}。" + "{{disambig}}" * (n % 50 == 7)

    mine = [page(n, text(n), redirect=n % 10 == 3) for n in range(900)]
    texts = ["".join(mine[at : at + 100]).encode() for at in range(0, 900, 100)]
    one = write(tmp_path / "zhwiki-1-pages-articles.xml.bz2", streams([HEAD.encode(), *texts, TAIL.encode()]))
    two = write(tmp_path / "zhwiki-2-pages-articles.xml", HEAD.encode() + b"".join(texts) + TAIL.encode())
    outs = []
    for number, part in enumerate(("1", "64")):
        out = tmp_path / f"out{number}"
        command = ["clean", "--inputs", str(one), str(two), "--out", str(out), "--part-mb", part, "--workers", "1"]
        assert run([*command, "--duplicates", "none"]) == 0
        outs.append([row for path in sorted(out.glob("part-*")) for row in read_jsonl(path)])
        report = read_json(out / "report.json")
        assert report["removed"] == {"disambiguation": 36, "redirect": 180} and report["documents"] == 2 * 792
        gone = [row["place"] for path in sorted((out / "removed").glob("redirect*")) for row in read_jsonl(path)]
        assert gone == [f"{path} page {n + 1}" for path in (one, two) for n in range(900) if n % 10 == 3]
    assert outs[0] == outs[1]
    assert outs[0][0]["id"] == "zhwiki-1-pages-articles.xml.bz2:0"
    assert outs[0][0]["text"].startswith("条目0\n条目0：他看着桥梁，")
    names = [row["id"].partition(":")[2] for row in outs[0]]
    assert names[:792] == names[792:] == [str(n) for n in range(900) if n % 10 != 3 and n % 50 != 7]

"""Spans: every byte in exactly one, cut at lines' ends; numbers that do not depend on the cut; small files together."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from yanmo.text.files.readers import block_rows
from yanmo.text.files.rows import Block, Row
from yanmo.text.files.sources import Source, look
from yanmo.text.pipeline.spans import Span, plan_spans, read_pieces
from yanmo.text.pipeline.stages import lines_until

LINES = st.lists(st.one_of(st.binary(max_size=30), st.just(b"x" * 700), st.just(b"")), min_size=1, max_size=200)


def blocks(spans: list[Span], source: Source, size: int) -> list[list[Block]]:
    """The blocks of each span."""
    return [
        [block for piece in read_pieces(n, span, [source], ["text"], size) for _, block in piece.blocks]
        for n, span in enumerate(spans)
    ]


@hypothesis(max_examples=60, deadline=None)
@given(LINES, st.integers(8, 2000), st.booleans())
def test_lines_are_cut_at_their_ends_and_keep_their_numbers(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int, end: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    data = b"\n".join(line.replace(b"\n", b"") for line in lines) + b"\n" * end
    path.write_bytes(data)
    source = look(path, txt_documents="line", encoding="utf-8", max_row_bytes=500)
    spans = plan_spans([source], size)
    if len(spans) > 1:
        cuts = [(start, stop) for span in spans for _, start, stop in span.ranges]
        assert [start for start, _ in cuts] == [0, *(stop for _, stop in cuts[:-1])] and cuts[-1][1] == len(data)
        assert all(data[start - 1 : start] == b"\n" for start, _ in cuts[1:])
        assert sum(span.size for span in spans) == len(data)
    before, numbers = 0, []
    for gathered in blocks(spans, source, size):
        numbers += [before + row.number for block in gathered for row in block_rows(block, source)]
        before += max((lines_until(block, source) for block in gathered), default=0)
    assert numbers == [n for n, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def test_parquet_is_cut_between_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"第{n}行" * 20 for n in range(1000)]})
    pq.write_table(table, path, row_group_size=100, compression=None, use_dictionary=False)
    source = look(path)
    for size, count in ((10**9, 1), (1000, 10), (40_000, 5)):
        spans = plan_spans([source], size)
        assert len(spans) == count
        rows = [row for gathered in blocks(spans, source, size) for block in gathered for row in block.data]
        assert (
            [(row.number, row.value["text"][:2]) for row in rows if isinstance(row, Row)]
            == [  # type: ignore[union-attr]
                (n + 1, f"第{n}行"[:2]) for n in range(1000)
            ]
        )


def test_small_files_share_a_span_and_large_streams_have_their_own(tmp_path: Path) -> None:
    for n in range(10):
        (tmp_path / f"{n}.txt").write_text("文" * 100)
    (tmp_path / "5a.csv").write_text("text\n" + "文\n" * 2000)
    (tmp_path / "5b.txt.gz").write_bytes(gzip.compress(bytes(range(256)) * 4, 0))
    sources = [look(path) for path in sorted(tmp_path.iterdir())]
    spans = plan_spans(sources, 2000)
    assert [[part.source for part in span.ranges] for span in spans] == [[0, 1, 2, 3, 4, 5], [6], [7], [8, 9, 10, 11]]
    assert [span.streamed for span in spans] == [False, True, True, False]


def test_a_large_stream_is_cut_into_pieces_by_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "' + b"x" * 990 + b'"}\n') * 5000)
    source = look(path)
    (span,) = plan_spans([source], 800_000)
    assert span.streamed
    pieces = list(read_pieces(0, span, [source], ["text"], 800_000))
    assert [piece.last for piece in pieces] == [False, False, False, False, True]
    assert sum(piece.size for piece in pieces) == path.stat().st_size
    numbers = [row.number for piece in pieces for _, block in piece.blocks for row in block_rows(block, source)]
    assert numbers == list(range(1, 5001))

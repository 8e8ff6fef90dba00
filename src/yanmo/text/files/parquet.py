"""Rows of Parquet files, a row group after the other; a damaged group costs its own rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from yanmo.text.files.rows import Block, Broken, Row, gather, readable
from yanmo.text.files.sources import Source
from yanmo.text.step import Drop

BATCH = 128
"""Rows that are turned into Python's objects at once."""


def parquet_blocks(source: Source, columns: Collection[str] | None, start: int, stop: int | None) -> Iterator[Block]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source.path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        detail = "compressed once more; decompress it" if source.path.suffix != ".parquet" else f"{error}"
        yield Block(1, [Broken(1, Drop("invalid_parquet", detail), "")], 0)
        return
    with file:
        share = source.path.stat().st_size / max(file.metadata.num_rows, 1)
        groups = range(file.num_row_groups)[start:stop]
        yield from gather(_parquet_rows(file, columns, groups), lambda number: int(share * number))


def _parquet_rows(file: Any, columns: Collection[str] | None, groups: range) -> Iterator[Row | Broken]:
    """Rows of a Parquet file, a row group after the other. A group that is damaged costs its own rows."""
    import pyarrow as pa

    names = [name for name in file.schema_arrow.names if columns is None or name in columns]
    number = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    for group in groups:
        last = number + file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(BATCH, row_groups=[group], columns=names or None):
                for row in _batch_rows(batch, number + 1):
                    yield row
                    number = row.number
        except (pa.ArrowException, OSError) as error:
            drop = Drop("invalid_parquet", f"row group {group}: {error}")
            yield from (Broken(lost, drop, "") for lost in range(number + 1, last + 1))
            number = last


def _batch_rows(batch: Any, first: int) -> Iterator[Row | Broken]:
    try:
        yield from (Row(number, value) for number, value in enumerate(batch.to_pylist(), first))
    except UnicodeDecodeError:  # a string column may hold any bytes; find the rows that do
        for index in range(batch.num_rows):
            try:
                yield Row(first + index, batch.slice(index, 1).to_pylist()[0])
            except UnicodeDecodeError as error:
                yield Broken(first + index, Drop("invalid_encoding", f"{error}"), readable(error.object))

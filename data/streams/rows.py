"""A request of a stream as one flat row, the same for Parquet and JSONL, and readable as any labelled row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.streams.stream import Stream

_ROWS_AT_ONCE = 2_000
_TEXTS = (
    "id",
    "account",
    "stream_label",
    "persona",
    "operator",
    "campaign",
    "label",
    "technique",
    "visibility",
    "family",
    "source",
    "session",
    "lang",
    "kind",
    "license",
    "response_format",
    "messages",
    "tools",
)
_NUMBERS = ("time_s", "temperature", "top_p")
_COUNTS = ("max_tokens", "n")
_COLUMNS = (*_TEXTS, *_NUMBERS, *_COUNTS, "attributes")

Row = Mapping[str, object]


def iter_stream_rows(stream: Stream, first: int | None) -> Iterator[Row]:
    """The rows of a stream; `stream_label`, `persona`, `operator` and `campaign` are the stream's.

    Args:
        stream: the account.
        first: how many of its requests, from the first; None means all.
    """
    shared = {
        "stream_label": stream.label.value,
        "persona": stream.persona,
        "operator": stream.operator,
        "campaign": stream.campaign,
    }
    for record in islice(stream, first):
        yield dump_labelled(record) | shared


def write_jsonl(rows: Iterable[Row], path: Path) -> int:
    """Write rows as JSONL and tell how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n")
            count += 1
    return count


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write rows as Parquet, some thousands at a time, and tell how many. `messages` and `tools` are JSON texts."""
    import pyarrow as pa  # heavy, and needed only to write
    from pyarrow import parquet

    schema = pa.schema(
        [
            *((name, pa.string()) for name in _TEXTS),
            *((name, pa.float64()) for name in _NUMBERS),
            *((name, pa.int64()) for name in _COUNTS),
            ("attributes", pa.list_(pa.string())),
        ]
    )
    number, iterator = 0, iter(rows)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := [_flatten(row) for row in islice(iterator, _ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            number += len(batch)
    return number


def _flatten(row: Row) -> dict[str, object]:
    texts = {name: json.dumps(row.get(name) or [], ensure_ascii=False) for name in ("messages", "tools")}
    return {name: row.get(name) for name in _COLUMNS} | texts

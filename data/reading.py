"""Reads rows from JSONL, gzipped JSONL, Parquet or standard input, and tells file and line of what is wrong.

A bad row does not end the reading; the caller decides. What is damaged beyond a row (a cut gzip file, a
broken Parquet file) ends it after the rows before. No message holds a row's text.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from stillwatch.data.dialects import parse_labelled
from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.limits import DEFAULT_LIMITS, Limits
from stillwatch.data.lines import Row, iter_lines
from stillwatch.data.records import LabelledRequest

__all__ = ["SUFFIXES", "Row", "iter_rows", "read_labelled"]

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
"""The files that are read in a folder."""

_ROWS_AT_ONCE = 1_000


def iter_rows(path: Path | None, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Row]:
    """The rows of a file, lazily; blank lines are passed over.

    Args:
        path: a `.parquet` file, a file that ends in `.gz`, or JSONL under any other name; None or `-` is
            standard input.
        limits: how long a line may be.

    Raises:
        SourceError: the file is missing or cannot be opened, or Parquet cannot be read by this install.
    """
    if path is None or str(path) == "-":
        yield from iter_lines(sys.stdin.buffer, "<stdin>", limits)
    elif path.suffix == ".parquet":
        yield from _iter_parquet(path)
    else:
        with _open(path) as stream:
            yield from iter_lines(stream, str(path), limits)


def read_labelled(path: Path) -> list[LabelledRequest]:
    """All labelled requests of a file, or of a folder's files in the order of their paths.

    Raises:
        InputError: the first row that cannot be read, or an id that stood before.
        SourceError: the path is missing, or holds no row.
    """
    records: list[LabelledRequest] = []
    places: dict[str, str] = {}
    for file in _list_files(path):
        for row in iter_rows(file):
            record = _parse_row(row)
            if record.id in places:
                raise InputError("id", f"the id of {places[record.id]} once more", "give each row its own", row.where)
            places[record.id] = row.where
            records.append(record)
    if not records:
        raise SourceError(f"{path}: no rows; name a file or folder of {', '.join(SUFFIXES)} with rows in it")
    return records


def _parse_row(row: Row) -> LabelledRequest:
    if isinstance(row.value, InputError):
        raise row.value
    try:
        return parse_labelled(row.value)
    except InputError as error:
        raise error.at(row.where) from None


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())


def _open(path: Path) -> BinaryIO:
    try:
        return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
    except OSError as error:
        raise _unopened(path, error) from error


def _unopened(path: Path, error: OSError) -> SourceError:
    return SourceError(f"{path}: cannot be opened ({error.strerror}); name a file that is there and readable")


def _iter_parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise SourceError(f"{path}: Parquet needs pyarrow; run: pip install 'stillwatch[train]'") from error
    with _open(path) as stream:
        number = 0
        try:
            for batch in ParquetFile(stream).iter_batches(batch_size=_ROWS_AT_ONCE):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(number, value, str(path))
        except (ArrowException, OSError, UnicodeDecodeError):
            place = f"{path}:{number + 1}"
            broken = InputError("file", "a file that is not intact Parquet", "fetch or write it again", place)
            yield Row(number + 1, broken, str(path))

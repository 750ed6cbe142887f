"""Files are read row by row, and what is wrong is told by file and line."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.limits import Limits
from stillwatch.data.reading import iter_rows, read_labelled

MARK = "SECRET"


def row(number: int, **fields: object) -> dict[str, Any]:
    return {
        "id": f"s/{number}",
        "source": "s",
        "family": "f",
        "label": "benign",
        "messages": [{"role": "user", "content": f"question {number}"}],
        **fields,
    }


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps(row(number)).encode() + b"\n" for number in numbers)


def read_error(path: Path, limits: Limits | None = None) -> InputError:
    rows = list(iter_rows(path, limits=limits) if limits else iter_rows(path))
    errors = [row.value for row in rows if isinstance(row.value, InputError)]
    assert len(errors) == 1
    assert MARK not in str(errors[0])
    return errors[0]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.txt"])
def test_lines_are_read_and_blank_ones_passed_over(tmp_path: Path, name: str) -> None:
    raw = lines(1) + b"\n  \r\n" + lines(2).rstrip(b"\n")
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    rows = list(iter_rows(path))
    assert [(read.line, read.value) for read in rows] == [(1, row(1)), (4, row(2))]
    assert rows[1].where == f"{path}:4"


def test_a_leading_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(1))
    assert [read.value for read in iter_rows(path)] == [row(1)]


BAD_LINES = [
    ("broken json", b'{"a": "SECRET', "line", "no JSON"),
    ("a list", b'["SECRET"]', "line", "a list of 1"),
    ("a string", b'"SECRET"', "line", "a string of 6 characters"),
    ("nan", b'{"SECRET": NaN}', "line", "NaN or Infinity"),
    ("infinity", b'{"SECRET": -Infinity}', "line", "NaN or Infinity"),
    ("latin-1", '{"a": "SECRET é"}'.encode("latin-1"), "line", "no UTF-8 at byte 14"),
    ("utf-16", '{"a": 1}'.encode("utf-16"), "line", "UTF-16"),
    ("depth", b"[" * 100_000, "line", "too deep"),
    ("digits", b'{"a": ' + b"9" * 5000 + b"}", "line", "too many digits"),
]


@pytest.mark.parametrize(("name", "raw", "field", "fragment"), BAD_LINES, ids=[case[0] for case in BAD_LINES])
def test_a_bad_line_is_told_and_the_next_is_read(
    tmp_path: Path, name: str, raw: bytes, field: str, fragment: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(raw + b"\n" + lines(2))
    error = read_error(path)
    assert error.field == field, name
    assert str(error).startswith(f"{path}:1: ")
    assert fragment in str(error)
    assert [read.value for read in iter_rows(path)][1] == row(2)


def test_a_line_over_the_limit_is_told_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(1) + b"x" * 3_000_000 + b"\n" + lines(3))
    limits = Limits(max_line_bytes=500)
    assert "more than 500 bytes" in str(read_error(path, limits))
    assert [read.line for read in iter_rows(path, limits=limits)] == [1, 2, 3]


def test_rows_before_the_cut_of_a_gzip_file_are_given(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*range(5000)))[:-2000])
    rows = list(iter_rows(path))
    assert rows[0].value == row(0)
    assert len(rows) > 100
    assert "ends too early" in str(rows[-1].value)
    assert not any(isinstance(read.value, InputError) for read in rows[:-1])


@pytest.mark.parametrize("raw", [lines(1), gzip.compress(lines(1))[:12] + b"\xff" * 40], ids=["plain", "broken"])
def test_what_is_not_gzip_is_told(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(raw)
    assert "not intact gzip" in str(read_error(path))


def test_a_shard_is_read_with_its_json_columns(tmp_path: Path) -> None:
    path = tmp_path / "shard.parquet"
    flat = [row(n, messages=json.dumps(row(n)["messages"]), attributes=["batch"], session=None) for n in (1, 2)]
    pq.write_table(pa.Table.from_pylist(flat), path)
    records = read_labelled(path)
    assert [record.id for record in records] == ["s/1", "s/2"]
    assert records[1].request.messages[0].content == "question 2"
    assert records[0].attributes == ("batch",)


@pytest.mark.parametrize("raw", [b"", b"PAR1" + b"x" * 50 + b"PAR1", lines(1)])
def test_what_is_not_parquet_is_told(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "shard.parquet"
    path.write_bytes(raw)
    assert "not intact Parquet" in str(read_error(path))


def test_parquet_without_its_library_names_the_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SourceError, match=r"pip install 'stillwatch\[train\]'"):
        list(iter_rows(tmp_path / "shard.parquet"))


@pytest.mark.parametrize("path", [None, Path("-")])
def test_standard_input_is_read(path: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(1) + b"oops")))
    rows = list(iter_rows(path))
    assert rows[0].value == row(1)
    assert str(rows[1].value).startswith("<stdin>:2: line")


@pytest.mark.parametrize("name", ["none.jsonl", "none.jsonl.gz", "none.parquet"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"cannot be opened \(No such file"):
        list(iter_rows(tmp_path / name))


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.jsonl.gz").write_bytes(gzip.compress(lines(2)))
    (tmp_path / "a.jsonl").write_bytes(lines(1))
    (tmp_path / "README.md").write_text("no rows")
    assert [record.id for record in read_labelled(tmp_path)] == ["s/1", "s/2"]


def test_a_folder_or_file_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    for path in (tmp_path, tmp_path / "empty.jsonl"):
        with pytest.raises(SourceError, match="no rows"):
            read_labelled(path)


def test_an_id_that_stood_before_is_refused_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1, 2))
    (tmp_path / "b.jsonl").write_bytes(lines(3, 2))
    with pytest.raises(InputError) as caught:
        read_labelled(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'b.jsonl'}:2: id: ")
    assert f"{tmp_path / 'a.jsonl'}:2" in str(caught.value)


def test_a_bad_row_is_told_by_file_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(1) + json.dumps(row(2, label=MARK)).encode())
    with pytest.raises(InputError) as caught:
        read_labelled(path)
    assert str(caught.value).startswith(f"{path}:2: label: ")
    assert MARK not in str(caught.value)


def test_the_door_needs_the_base_install_only() -> None:
    script = (
        "import sys, stillwatch.data.reading, stillwatch.data.dialects; "
        "print(sorted({'torch', 'transformers', 'datasets', 'pyarrow', 'datasketch', 'pandas', 'yaml', 'scipy'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # fixed text
    assert done.stdout.strip() == "[]"

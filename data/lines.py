"""Reads JSON lines from a byte stream: one row a line, an object or the error that says what stands there.

No error holds the line's text.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.limits import Limits

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    Attributes:
        line: its line, or its number in Parquet, from 1.
        value: its object, or what is wrong with it.
        file: the file's name.
    """

    line: int
    value: dict[str, Any] | InputError
    file: str

    @property
    def where(self) -> str:
        """`file:line`, for errors."""
        return f"{self.file}:{self.line}"


def iter_lines(stream: IO[bytes], file: str, limits: Limits) -> Iterator[Row]:
    """The rows of a stream of JSON lines, lazily; blank lines and a leading byte order mark are passed over.

    Args:
        stream: the bytes, decompressed as they are read.
        file: what to call the stream in errors.
        limits: how long a line may be.
    """
    line = 0
    while True:
        line += 1
        try:
            raw = stream.readline(limits.max_line_bytes + 1)
            whole = len(raw) <= limits.max_line_bytes
            if not whole:
                _skip_line(stream, raw)
        except (EOFError, OSError, zlib.error) as error:
            yield Row(line, _damaged(error, f"{file}:{line}"), file)
            return
        if not raw:
            return
        if not whole:
            kind = f"a line of more than {limits.max_line_bytes} bytes"
            yield Row(line, InputError("line", kind, "split it into rows", f"{file}:{line}"), file)
        elif text := raw.removeprefix(_BOM if line == 1 else b"").strip():
            yield Row(line, decode_row(text, f"{file}:{line}"), file)


def _skip_line(stream: IO[bytes], raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(2**20)


def _damaged(error: EOFError | OSError | zlib.error, where: str) -> InputError:
    if isinstance(error, EOFError):
        return InputError("file", "a gzip file that ends too early", "fetch or write it again", where)
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return InputError("file", "a file that is not intact gzip", "fetch it again or rename it", where)
    return InputError("file", f"a file that cannot be read ({error.strerror})", "mend or move it", where)


def decode_row(text: bytes, where: str) -> dict[str, Any] | InputError:
    """The object of one row's JSON text, or what is wrong with it.

    Args:
        text: JSON in UTF-8.
        where: its place, for the error.
    """
    try:
        value = json.loads(text.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        kind = "UTF-16 text" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else f"no UTF-8 at byte {error.start}"
        return InputError("line", kind, "save the file as UTF-8", where)
    except _ConstantError:
        return InputError("line", "NaN or Infinity", "write null or a finite number", where)
    except RecursionError:
        return InputError("line", "JSON nested too deep", "nest it less", where)
    except json.JSONDecodeError as error:
        return InputError("line", f"no JSON from column {error.colno}", "write one JSON object a line", where)
    except ValueError:
        return InputError("line", "a number of too many digits", "write a shorter number", where)
    if not isinstance(value, dict):
        return InputError("line", kind_of(value), "write one JSON object a line", where)
    return value


class _ConstantError(Exception):
    """NaN or an infinity, which JSON does not know."""


def _refuse_constant(_name: str) -> None:
    raise _ConstantError

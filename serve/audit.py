"""The audit: JSON lines, one a verdict beyond `allow`, only ever appended to, put aside by size and never deleted.

A record holds ids, hashes, scores, codes, versions and thresholds; no text, and no account or id as the caller wrote
it. Each is one write of a whole line, so a process that is killed leaves at most its last line cut.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from stillwatch.data.errors import SourceError


class AuditLog:
    """Appends records; thread-safe."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open the file, or begin it, readable by its owner alone.

        Args:
            path: the file; those put aside stand beside it, with a time before their suffix.
            max_bytes: size at which it is put aside.

        Raises:
            SourceError: the file cannot be opened.
        """
        self._path, self._max_bytes, self._lock = path, max_bytes, Lock()
        try:
            self._open()
        except OSError as error:
            raise SourceError(f"audit.file: {path}: cannot be opened ({error.strerror}); name another place") from error

    def append(self, record: Mapping[str, object]) -> None:
        """Write a record before returning.

        Raises:
            OSError: the disk is full or gone.
        """
        line = (json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n").encode()
        with self._lock:
            if self._size and self._size + len(line) > self._max_bytes:
                self._put_aside()
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            self._size += len(line)

    def close(self) -> None:
        """Bring everything to the disk and close the file."""
        with self._lock:
            os.fsync(self._file)
            os.close(self._file)

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            self._size += os.write(self._file, b"\n")  # ends the line that a killed process left cut

    def _put_aside(self) -> None:
        os.fsync(self._file)
        name = f"{self._path.stem}.{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z{self._path.suffix}"
        full = self._file
        self._path.rename(self._path.with_name(name))
        self._open()
        os.close(full)


def find_record(path: Path, record_id: str) -> dict[str, object] | None:
    """The record of an id in the file or in those put aside, the newest file first; None where there is none.

    Raises:
        SourceError: there is no such file, or it cannot be read.
    """
    aside = sorted(path.parent.glob(f"{path.stem}.*Z{path.suffix}"), reverse=True)
    files = [file for file in (path, *aside) if file.is_file()]
    if not files:
        raise SourceError(f"{path}: no such file; name the service's audit.file by --audit")
    return next((record for file in files for record in _iter_records(file) if record.get("id") == record_id), None)


def _iter_records(file: Path) -> Iterator[dict[str, object]]:
    """Whole records; a line that was cut, or is none of ours, is passed over."""
    try:
        with file.open("rb") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict):
                    yield record
    except OSError as error:
        raise SourceError(f"{file}: cannot be read ({error.strerror}); name a readable file") from error

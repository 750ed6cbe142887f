"""Scores that somebody else computed, as a system: a CSV with one line for each record.

Columns `id` and `score`, or `id` and `probability` when the values are probabilities; others are passed over.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.records import Request
from stillwatch.train.suites.systems import Scored


class ScoreFile:
    """A score for each id; it reads no text, so that changed requests have no score."""

    kind = "scores"
    reads_text = False
    carried = ()
    learnt_families = None
    notes = ("scores from a file: no cost was measured, and requests that a suite changes have no score",)

    def __init__(self, scores: dict[str, float], name: str, version: str, *, has_probabilities: bool) -> None:
        """Keep the scores."""
        self._scores, self.name, self.version = scores, name, version
        self.has_probabilities = has_probabilities

    def score(self, requests: Sequence[Request], on_progress: Callable[[int], None] | None = None) -> Scored:
        """See `System.score`; every request must have a score."""
        missing = [request.id for request in requests if request.id not in self._scores]
        if missing:
            raise InputError(
                f"{self.name}.csv",
                f"no score for {len(missing):,} of {len(requests):,} records, such as {missing[0]}",
                "score every record of --data, or give the rows that were scored",
            )
        if on_progress is not None:
            on_progress(len(requests))
        return Scored(np.array([self._scores[request.id or ""] for request in requests], np.float64))


def open_scores(path: Path) -> ScoreFile:
    """Read a CSV of scores.

    Raises:
        SourceError: the file is missing or not UTF-8.
        InputError: a column is missing, an id stands twice, or a value is no finite number; file and line.
    """
    scores: dict[str, float] = {}
    try:
        content = path.read_bytes()
        rows = csv.reader(content.decode("utf-8-sig").splitlines())
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be opened ({error.strerror}); name a file that is there") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name}: not UTF-8; write it again") from error
    header = [name.strip().lower() for name in next(rows, [])]
    column = next((name for name in ("probability", "score") if name in header), None)
    if "id" not in header or column is None:
        raise InputError(
            "header", "no columns id and score", "begin with the line id,score or id,probability", path.name
        )
    id_place, place = header.index("id"), header.index(column)
    for row in rows:
        if not row:
            continue
        where = f"{path.name}:{rows.line_num}"
        if len(row) <= max(id_place, place):
            raise InputError(column, "a line that is too short", "give an id and a value in each line", where)
        if row[id_place] in scores:
            raise InputError("id", "an id once more", "give each record one line", where)
        scores[row[id_place]] = _parse(row[place], column, where)
    if not scores:
        raise InputError("rows", "none", "give a line for each record", path.name)
    return ScoreFile(
        scores, path.stem, hashlib.sha256(content).hexdigest()[:12], has_probabilities=column == "probability"
    )


def _parse(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(column, "no finite number", "give a number in each line", where)
    if column == "probability" and not 0 <= value <= 1:
        raise InputError(column, "a number outside 0 to 1", "name the column score when it is no probability", where)
    return value

"""Tables of record ids and scores behind a figure: the records that it hangs on first, the rest counted."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from operator import itemgetter

from stillwatch.train.suites.answers import CaseGroup
from stillwatch.train.suites.evaluation import Evaluation, ScoredRecord
from stillwatch.train.suites.report_wording import count, name_fpr, name_system, reveal

MAX_ROWS = 50
"""Records shown in one table."""


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One record: its id, the place of its text on the page (empty where none is shown), and the other cells."""

    id: str
    anchor: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Records of a slice.

    Attributes:
        caption: how many, and in which order.
        words: heads of the columns of words after the id.
        numbers: heads of the columns of numbers that follow.
        rows: at most `MAX_ROWS`.
        rest: how many are not shown; empty when all are.
    """

    caption: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: tuple[RecordRow, ...]
    rest: str


class RecordShelf:
    """Makes tables of records of one evaluation, and remembers whose text the page must hold."""

    def __init__(self, evaluation: Evaluation, ids_with_text: Container[str]) -> None:
        """Find records by id once."""
        self._systems = tuple(name_system(system.name) for system in evaluation.systems)
        self._points = sorted(evaluation.first.metrics.points, key=lambda point: point.fpr)
        self._records = {record.id: record for record in evaluation.records}
        self._ids_with_text = ids_with_text
        self.anchors: dict[str, str] = {}

    def list_records(self, records: Sequence[ScoredRecord], *, lowest_first: bool) -> RecordTable:
        """A table of records as they are.

        Args:
            records: of one slice.
            lowest_first: for extraction, where the lowest are missed; else the highest stand first.
        """
        ordered = sorted(records, key=lambda record: (record.scores[0] * (1 if lowest_first else -1), record.id))
        return RecordTable(
            caption=f"{count(len(ordered), 'record')}, {'lowest' if lowest_first else 'highest'} score of "
            f"{self._systems[0]} first",
            words=("family", "source", "language"),
            numbers=("characters", "flagged at", *(f"score, {name}" for name in self._systems)),
            rows=tuple(
                self._row(
                    record,
                    (reveal(record.family), reveal(record.source), reveal(record.language)),
                    (f"{record.num_characters:,}", self._flagged(record.scores[0]), *map(_digits, record.scores)),
                )
                for record in ordered[:MAX_ROWS]
            ),
            rest=_rest(len(ordered)),
        )

    def list_changed(self, group: CaseGroup, *, is_extraction: bool) -> RecordTable:
        """A table of records of one label that a case changed, with the first system's scores before and after."""
        chosen = [
            (self._records[id_], after)
            for id_, after in zip(group.record_ids, group.scores[0], strict=True)
            if (self._records[id_].label == "extraction") is is_extraction
        ]
        chosen.sort(key=itemgetter(1), reverse=not is_extraction)
        return RecordTable(
            caption=f"{count(len(chosen), 'record')}, {'lowest' if is_extraction else 'highest'} changed score of "
            f"{self._systems[0]} first",
            words=("family", "source", "language"),
            numbers=("characters before", "score before", "score after", "drop", "flagged before", "flagged after"),
            rows=tuple(
                self._row(
                    record,
                    (reveal(record.family), reveal(record.source), reveal(record.language)),
                    (
                        f"{record.num_characters:,}",
                        _digits(record.scores[0]),
                        _digits(after),
                        _digits(record.scores[0] - after),
                        self._flagged(record.scores[0]),
                        self._flagged(after),
                    ),
                )
                for record, after in chosen[:MAX_ROWS]
            ),
            rest=_rest(len(chosen)),
        )

    def list_group(self, group: CaseGroup, *, is_extraction: bool) -> RecordTable:
        """The table of a case's group, changed or not."""
        if group.scores:
            return self.list_changed(group, is_extraction=is_extraction)
        records = [self._records[id_] for id_ in group.record_ids]
        return self.list_records(
            [record for record in records if (record.label == "extraction") is is_extraction],
            lowest_first=is_extraction,
        )

    def _row(self, record: ScoredRecord, words: tuple[str, ...], numbers: tuple[str, ...]) -> RecordRow:
        anchor = ""
        if record.id in self._ids_with_text:
            anchor = self.anchors.setdefault(record.id, f"text-{len(self.anchors) + 1}")
        return RecordRow(reveal(record.id), anchor, (*words, *numbers))

    def _flagged(self, score: float) -> str:
        """The lowest false-alarm rate at whose threshold a score of the first system is flagged."""
        return next((name_fpr(point.fpr) for point in self._points if score >= point.threshold), "no")


def _digits(score: float) -> str:
    return f"{score:.4g}"


def _rest(num_records: int) -> str:
    hidden = num_records - MAX_ROWS
    return f"{count(hidden, 'more record')} of this slice not shown." if hidden > 0 else ""

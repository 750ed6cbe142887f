"""Charts of all records: what is caught and falsely flagged, by every dimension, and what stands aside.

The limits drawn are those that the project promises; they are for a reader's eye and decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stillwatch.train.intervals import Interval
from stillwatch.train.results import name_length
from stillwatch.train.suites.evaluation import Evaluation, ScoredRecord
from stillwatch.train.suites.report_records import RecordShelf
from stillwatch.train.suites.report_slices import Chart, Limit, Rated, draw_chart
from stillwatch.train.suites.report_wording import name_fpr, name_system, reveal
from stillwatch.train.summary import FPRS, SliceRate
from stillwatch.train.tables import percent

FPR_LIMIT = Limit(0.05, is_floor=False)
"""The share of any benign source that may be flagged at the 1% threshold."""

_CAUGHT = (
    ("technique", "By technique"),
    ("language", "By language"),
    ("length", "By length"),
    ("source", "By source"),
    ("family", "By family"),
)
_FLAGGED = (("source", "By benign source"), ("language", "By language"), ("length", "By length"))


@dataclass(frozen=True, slots=True)
class Grid:
    """A plain table beneath a chart: every system at every threshold."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart with its table of all systems; `chart` is None where the first system could not be asked."""

    title: str
    chart: Chart | None
    grid: Grid


def draw_caught(evaluation: Evaluation, shelf: RecordShelf) -> list[Panel]:
    """TPR of the first system by technique, language, length, source and family."""
    whole = evaluation.first.metrics.at(FPRS[0]).tpr.value
    return [
        _draw_dimension(evaluation, shelf, dimension, title, is_extraction=True, whole=whole)
        for dimension, title in _CAUGHT
        if _groups_of(evaluation, dimension, is_extraction=True)
    ]


def draw_flagged(evaluation: Evaluation, shelf: RecordShelf) -> list[Panel]:
    """False alarms of the first system by source, language and length."""
    return [
        _draw_dimension(evaluation, shelf, dimension, title, is_extraction=False, whole=None)
        for dimension, title in _FLAGGED
        if _groups_of(evaluation, dimension, is_extraction=False)
    ]


def draw_aside(evaluation: Evaluation, shelf: RecordShelf) -> list[Panel]:
    """How often records are flagged that one request does not decide."""
    slices = [
        Rated(
            name=kind,
            note="",
            rates=rates,
            num_records=some.num_records,
            num_families=some.num_families,
            told="",
            table=shelf.list_records(
                [
                    record
                    for record in evaluation.records
                    if not record.is_decided and (record.label == "extraction") is some.is_extraction
                ],
                lowest_first=False,
            ),
        )
        for kind, (some, rates) in _by_group(evaluation.first.aside).items()
    ]
    if not slices:
        return []
    rates = [(name_system(s.name), {(r.group, r.fpr): r for r in s.aside}) for s in evaluation.systems]
    title = "Records set aside"
    return [Panel(title, draw_chart("flagged", slices, kind="guide"), _grid(title, rates))]


def _draw_dimension(
    evaluation: Evaluation,
    shelf: RecordShelf,
    dimension: str,
    title: str,
    *,
    is_extraction: bool,
    whole: float | None,
) -> Panel:
    groups = _groups_of(evaluation, dimension, is_extraction=is_extraction)
    members: dict[str, list[ScoredRecord]] = {}
    for record in evaluation.records:
        group = group_record(record, dimension)
        if record.is_decided and (record.label == "extraction") is is_extraction and group is not None:
            members.setdefault(group, []).append(record)
    slices = [
        Rated(
            name=group,
            note="",
            rates=rates,
            num_records=some.num_records,
            num_families=some.num_families,
            told="",
            table=shelf.list_records(members.get(group, []), lowest_first=is_extraction),
        )
        for group, (some, rates) in groups.items()
    ]
    chart = draw_chart(
        "caught" if is_extraction else "falsely flagged",
        slices,
        kind="extraction" if is_extraction else "benign",
        limit=None if is_extraction else FPR_LIMIT,
        whole=whole,
        in_order=dimension == "length",
    )
    rates = [
        (
            name_system(system.name),
            {(r.group, r.fpr): r for r in system.slices.get(dimension, ()) if r.is_extraction is is_extraction},
        )
        for system in evaluation.systems
    ]
    return Panel(title, chart, _grid(title, rates))


def group_record(record: ScoredRecord, dimension: str) -> str | None:
    """The slice of a dimension of `results.DIMENSIONS` that a record stands in."""
    return {
        "technique": record.technique,
        "family": record.family,
        "language": record.language,
        "source": record.source,
        "length": name_length(record.num_characters),
    }[dimension]


def _groups_of(
    evaluation: Evaluation, dimension: str, *, is_extraction: bool
) -> dict[str, tuple[SliceRate, tuple[Interval, ...]]]:
    return _by_group([r for r in evaluation.first.slices.get(dimension, ()) if r.is_extraction is is_extraction])


def _by_group(rates: Sequence[SliceRate]) -> dict[str, tuple[SliceRate, tuple[Interval, ...]]]:
    """Of each group one rate for its counts, and the rates in the order of `FPRS`."""
    groups: dict[str, dict[float, SliceRate]] = {}
    for rate in rates:
        groups.setdefault(rate.group, {})[rate.fpr] = rate
    return {group: (found[FPRS[0]], tuple(found[fpr].rate for fpr in FPRS)) for group, found in groups.items()}


def _grid(title: str, systems: Sequence[tuple[str, dict[tuple[str, float], SliceRate]]]) -> Grid:
    groups = dict.fromkeys(group for _, rates in systems for group, _ in rates)
    return Grid(
        caption=f"{title}: all systems",
        heads=("slice", *(f"{name}, {name_fpr(fpr)}" for name, _ in systems for fpr in FPRS)),
        rows=tuple(
            (
                reveal(group),
                *(
                    percent(rates[group, fpr].rate) if (group, fpr) in rates else "none"
                    for _, rates in systems
                    for fpr in FPRS
                ),
            )
            for group in groups
        ),
    )

"""Which charts a report holds: the slices of all records, the cases of the suite, and what stands aside.

The limits drawn are those that the project promises; they belong to a reader's eye, and gate nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stillwatch.train.intervals import Interval
from stillwatch.train.results import name_length
from stillwatch.train.suites.evaluation import Case, CaseGroup, CaseRate, Evaluation, ScoredRecord
from stillwatch.train.suites.report_records import RecordShelf
from stillwatch.train.suites.report_slices import Chart, Limit, Rated, draw_chart
from stillwatch.train.suites.report_wording import count, name_fpr, name_system, reveal
from stillwatch.train.summary import FPRS, SliceRate
from stillwatch.train.tables import percent

FPR_LIMIT = Limit(0.05, is_floor=False)
"""The share of any benign source that may be flagged at the 1% threshold."""

KEPT_LIMIT = Limit(0.8, is_floor=True)
"""The share of its clean TPR that must stay under any single transform."""

BURIED_LIMIT = Limit(0.85, is_floor=True)
"""The share of its clean TPR that must stay when a demand is buried in a long text."""

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
    """A chart with its table of all systems."""

    chart: Chart
    grid: Grid


@dataclass(frozen=True, slots=True)
class CaseSection:
    """A case of the suite as it stands in a report; `missing` tells what the rows do not hold."""

    title: str
    notes: tuple[str, ...]
    missing: str
    panels: tuple[Panel, ...]


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
    return [Panel(draw_chart("Records set aside", "flagged", slices, kind="guide"), _grid("Flagged", rates))]


def draw_case(case: Case, evaluation: Evaluation, shelf: RecordShelf) -> CaseSection:
    """One case: what is caught, what is falsely flagged, or what a change leaves of the TPR."""
    panels = []
    for is_extraction in (True, False):
        answers = [
            (group, [rate for rate in group.rates if rate.is_extraction is is_extraction]) for group in case.groups
        ]
        answers = [(group, rates) for group, rates in answers if rates]
        if answers:
            panels.append(_draw_answers(case, answers, evaluation, shelf, is_extraction=is_extraction))
    return CaseSection(
        title=case.title,
        notes=case.notes,
        missing=", ".join(map(reveal, case.missing)),
        panels=tuple(panels),
    )


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
        title,
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
    return Panel(chart, _grid(title, rates))


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


def _draw_answers(
    case: Case,
    answers: Sequence[tuple[CaseGroup, list[CaseRate]]],
    evaluation: Evaluation,
    shelf: RecordShelf,
    *,
    is_extraction: bool,
) -> Panel:
    """One chart of a case: the TPR kept where extraction was changed, else the rate itself."""
    first = evaluation.first.name
    is_kept = is_extraction and any(rate.kept is not None for _, rates in answers for rate in rates)
    slices = []
    for group, rates in answers:
        own = {rate.fpr: rate for rate in rates if rate.system == first}
        shown = [own[fpr].kept if is_kept else own[fpr].rate for fpr in FPRS if fpr in own]
        if not shown or shown[0] is None:
            continue
        some = own[FPRS[0]]
        slices.append(
            Rated(
                name=group.name,
                note=_note(group),
                rates=tuple(each for each in shown if each is not None),
                num_records=some.num_records,
                num_families=some.num_families,
                told=_tell_change(some),
                table=shelf.list_group(group, is_extraction=is_extraction),
            )
        )
    if is_kept:
        title, measure = "Share of the clean TPR that is kept", "kept"
        limit: Limit | None = BURIED_LIMIT if case.kind == "padding" else KEPT_LIMIT
    elif is_extraction:
        title, measure, limit = "Extraction caught", "caught", None
    else:
        title, measure = ("Flagged", "flagged") if case.kind == "ambiguous" else ("False alarms", "falsely flagged")
        limit = None if case.kind == "ambiguous" else FPR_LIMIT
    whole = evaluation.first.metrics.at(FPRS[0]).tpr.value if is_extraction and not is_kept else None
    chart = draw_chart(
        title,
        measure,
        slices,
        kind="extraction" if is_extraction else "guide" if case.kind == "ambiguous" else "benign",
        limit=limit,
        whole=whole,
        in_order=case.kind in ("lengths", "padding", "transforms"),
    )
    return Panel(chart, _case_grid(title, answers))


def _note(group: CaseGroup) -> str:
    told = []
    if group.strength is not None:
        told.append(f"strength {group.strength:g}")
    if group.num_characters is not None:
        told.append(count(group.num_characters, "character"))
    return ", ".join(told)


def _tell_change(rate: CaseRate) -> str:
    return f"{rate.clean.value:.1%} before, {rate.rate.value:.1%} after" if rate.clean is not None else ""


def _case_grid(title: str, answers: Sequence[tuple[CaseGroup, list[CaseRate]]]) -> Grid:
    is_changed = any(rate.clean is not None for _, rates in answers for rate in rates)
    heads = ("slice", "system", "false alarms", "rate", *(("before", "kept", "score drop") if is_changed else ()))
    return Grid(f"{title}: all systems", heads, tuple(_iter_case_rows(answers, is_changed=is_changed)))


def _iter_case_rows(
    answers: Sequence[tuple[CaseGroup, list[CaseRate]]], *, is_changed: bool
) -> Iterator[tuple[str, ...]]:
    for group, rates in answers:
        note = _note(group)
        for rate in rates:
            changed = (
                percent(rate.clean) if rate.clean else "none",
                percent(rate.kept) if rate.kept else "none",
                str(rate.score_drop) if rate.score_drop else "none",
            )
            yield (
                f"{reveal(group.name)}{f' ({note})' if note else ''}",
                name_system(rate.system),
                name_fpr(rate.fpr),
                percent(rate.rate),
                *(changed if is_changed else ()),
            )

"""Charts of a suite's cases: groups of rows as they are, or what a change of the text leaves of the TPR.

The limits drawn are those that the project promises; they are for a reader's eye and decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stillwatch.train.suites.answers import Case, CaseGroup, CaseRate
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.report_charts import FPR_LIMIT, Grid, Panel
from stillwatch.train.suites.report_records import RecordShelf
from stillwatch.train.suites.report_slices import Limit, Rated, draw_chart
from stillwatch.train.suites.report_wording import count, name_fpr, name_system, reveal
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import percent

KEPT_LIMIT = Limit(0.8, is_floor=True)
"""The share of its clean TPR that must stay under any single transform."""

BURIED_LIMIT = Limit(0.85, is_floor=True)
"""The share of its clean TPR that must stay when a demand is buried in a long text."""


@dataclass(frozen=True, slots=True)
class CaseSection:
    """A case of the suite as it stands in a report; `missing` tells what the rows do not hold."""

    title: str
    notes: tuple[str, ...]
    missing: str
    panels: tuple[Panel, ...]


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
    chart = (
        draw_chart(
            measure,
            slices,
            kind="extraction" if is_extraction else "guide" if case.kind == "ambiguous" else "benign",
            limit=limit,
            whole=whole,
            in_order=case.kind in ("lengths", "padding", "transforms"),
        )
        if slices
        else None
    )
    return Panel(title, chart, _case_grid(title, answers))


def _note(group: CaseGroup) -> str:
    told = []
    if group.strength is not None:
        told.append(f"strength {group.strength:g}")
    if group.num_characters is not None:
        told.append(count(group.num_characters, "character"))
    return ", ".join(each for each in told if each != group.name)


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

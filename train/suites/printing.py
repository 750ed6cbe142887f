"""An evaluation as tables in a terminal: every rate with its interval, and how much data stands behind it.

Nothing is cut in a narrow terminal: names and figures go on in the next line.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stillwatch.train.intervals import Interval
from stillwatch.train.suites.answers import Case, CaseRate
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.system_result import SystemResult
from stillwatch.train.summary import FPRS, SliceRate
from stillwatch.train.tables import NAMES, percent

_UNKNOWN = "-"


def print_evaluation(
    console: Console, evaluation: Evaluation, *, slices: Sequence[str] = ("technique", "source")
) -> None:
    """Print the systems, the slices asked for, carried thresholds and the cases, each rate with its 95% interval."""
    console.print(_systems_table(evaluation))
    for system in evaluation.systems:
        for note in system.notes:
            console.print(f"{_name(system)}: {note}", markup=False, highlight=False)
    first = evaluation.first
    for name in slices:
        for is_extraction, what in ((True, "caught (TPR)"), (False, "falsely flagged (FPR)")):
            rates = [rate for rate in first.slices.get(name, ()) if rate.is_extraction is is_extraction]
            if rates:
                console.print(_slice_table(f"{first.name} by {name}: {what}", name, rates))
    for kind in dict.fromkeys(rate.group for rate in first.aside):
        rates = [rate for rate in first.aside if rate.group == kind]
        told = ", ".join(f"{percent(rate.rate)} at the {rate.fpr:.1%} threshold" for rate in rates)
        console.print(f"Aside, {rates[0].num_records} records {kind}: {told}", markup=False)
    if first.technique_recall:
        told = ", ".join(f"{name} {rate.value:.0%}" for name, rate in first.technique_recall.items())
        console.print(f"Technique named rightly: {told}", markup=False)
    if first.carried:
        console.print(_carried_table(first))
    for case in evaluation.cases:
        _print_case(console, case, evaluation)


def _systems_table(evaluation: Evaluation) -> Table:
    some = evaluation.first.metrics
    table = Table(
        title=f"{escape(evaluation.title)}\n{some.num_extraction} extraction records of {some.num_extraction_families} "
        f"families, {some.num_benign} benign of {some.num_benign_families}; 95% intervals",
        title_justify="left",
    )
    table.add_column("system", overflow="fold")
    for column in ("AUROC", "AUPRC", *(f"TPR at\n{fpr:.1%} FPR" for fpr in FPRS), "ECE", "Brier", "ms a\nrequest"):
        table.add_column(column, justify="right", overflow="fold")
    for system in evaluation.systems:
        metrics = system.metrics
        table.add_row(
            escape(_name(system)),
            *(_stack(str(figure)) for figure in (metrics.auroc, metrics.auprc)),
            *(_stack(percent(metrics.at(fpr).tpr)) for fpr in FPRS),
            *(_UNKNOWN if figure is None else _stack(str(figure)) for figure in (metrics.ece, metrics.brier)),
            _UNKNOWN if system.cost is None else f"{system.cost.median_ms:.1f}",
        )
    return table


def _slice_table(title: str, column: str, rates: Sequence[SliceRate]) -> Table:
    table = Table(title=escape(title), title_justify="left")
    table.add_column(column, overflow="fold")
    for name in ("records", "families", *(f"at {fpr:.1%} FPR" for fpr in FPRS)):
        table.add_column(name, justify="right", overflow="fold")
    for group in dict.fromkeys(rate.group for rate in rates):
        row = {rate.fpr: rate for rate in rates if rate.group == group}
        some = next(iter(row.values()))
        told = (percent(row[fpr].rate) for fpr in FPRS)
        table.add_row(escape(group), str(some.num_records), str(some.num_families), *told)
    return table


def _carried_table(system: SystemResult) -> Table:
    table = Table(title=escape(f"{system.name} at the thresholds that it brings along"), title_justify="left")
    table.add_column("records", overflow="fold")
    for carried in system.carried:
        table.add_column(f"{carried.name}\n({carried.promised_fpr:.1%} promised)", justify="right", overflow="fold")
    for group in dict.fromkeys(rate.group for carried in system.carried for rate in carried.rates):
        row = [next(rate for rate in carried.rates if rate.group == group) for carried in system.carried]
        table.add_row(f"{escape(group)} ({row[0].num_records})", *(percent(rate.rate) for rate in row))
    return table


def _print_case(console: Console, case: Case, evaluation: Evaluation) -> None:
    heading = f"{case.name}: {case.title}"
    for note in case.notes:
        heading += f"\n{note}"
    if case.missing:
        heading += f"\nnot among the rows: {', '.join(case.missing)}"
    if not case.groups:
        console.print(heading, markup=False, highlight=False)
        return
    is_changed = any(rate.clean is not None for group in case.groups for rate in group.rates)
    table = Table(title=escape(heading), title_justify="left")
    table.add_column("group", overflow="fold")
    columns = [f"at {fpr:.1%} FPR" for fpr in FPRS]
    if is_changed:
        columns = ["score drop", *(f"{column}\n(kept)" for column in columns)]
    for column in ("system", "records", "rate", *columns):
        table.add_column(column, justify="left" if column in ("system", "rate") else "right", overflow="fold")
    for group in case.groups:
        name = group.name if group.strength is None else f"{group.name} {group.strength:g}"
        for system in evaluation.systems:
            for is_extraction in (True, False):
                row = [r for r in group.rates if r.system == system.name and r.is_extraction is is_extraction]
                if row:
                    figures = [_kept(rate) if is_changed else _stack(percent(rate.rate)) for rate in row]
                    if is_changed:
                        figures.insert(0, _signed(row[0].score_drop))
                    table.add_row(
                        escape(name),
                        escape(_name(system)),
                        str(row[0].num_records),
                        "TPR" if is_extraction else "FPR",
                        *figures,
                    )
    console.print(table)


def _kept(rate: CaseRate) -> str:
    """The rate, and below it what share of the unchanged requests' rate that is; for benign ones the rate before."""
    if not rate.is_extraction and rate.clean is not None:
        return f"{rate.rate.value:.1%}\n(was {rate.clean.value:.1%})"
    return f"{rate.rate.value:.1%}\n({_UNKNOWN if rate.kept is None else percent(rate.kept)})"


def _signed(drop: Interval | None) -> str:
    return _UNKNOWN if drop is None else f"{drop.value:+.3f}"


def _name(system: SystemResult) -> str:
    """A baseline fitted in the run by what it is; any other system by its own name."""
    return NAMES.get(system.name, system.name) if system.kind == "trained" else system.name


def _stack(figure: str) -> str:
    return figure.replace(" [", "\n[")

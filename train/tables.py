"""Results as tables in a terminal: every rate with its interval, and how much data stands behind it.

Nothing is cut in a narrow terminal: names and figures go on in the next line.
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stillwatch.train.intervals import Interval
from stillwatch.train.results import Results
from stillwatch.train.summary import FPRS, SliceRate

NAMES = {
    "stillwatch": "Stillwatch",
    "tfidf": "TF-IDF + LR",
    "frozen_encoder": "frozen encoder + LR",
}
"""What a system is called in a table; LR is logistic regression."""


def print_results(console: Console, results: Results, *, slices: tuple[str, ...] = ("technique", "source")) -> None:
    """Print the table of systems, then the slices asked for, each rate as percent with its 95% interval."""
    console.print(_systems_table(results))
    for name in slices:
        for is_extraction, what in ((True, "caught (TPR)"), (False, "falsely flagged (FPR)")):
            rates = [rate for rate in results.slices[name] if rate.is_extraction is is_extraction]
            if rates:
                console.print(_slice_table(name, what, rates))
    for name in dict.fromkeys(rate.group for rate in results.aside):
        rates = [rate for rate in results.aside if rate.group == name]
        told = ", ".join(f"{percent(rate.rate)} at the {rate.fpr:.1%} threshold" for rate in rates)
        console.print(f"Aside, {rates[0].num_records} records {name}: {told}")
    if results.techniques:
        told = ", ".join(f"{name} {interval.value:.0%}" for name, interval in results.techniques.items())
        console.print(f"Technique named rightly: {told}")


def percent(interval: Interval) -> str:
    """`65.2% [58, 72]`."""
    return f"{interval.value:.1%} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def _systems_table(results: Results) -> Table:
    first = results.first
    folds = len(next(iter(results.fold_tprs.values())))
    table = Table(
        title=f"{first.num_extraction} extraction records of {first.num_extraction_families} families, "
        f"{first.num_benign} benign of {first.num_benign_families}; {folds} fold{'s' * (folds > 1)}; 95% intervals",
        title_justify="left",
    )
    table.add_column("system", overflow="fold")
    for column in (
        "AUROC",
        *(f"TPR at\n{fpr:.1%} FPR" for fpr in FPRS),
        *(f"fold\nmean,\n{fpr:.1%}" for fpr in FPRS),
    ):
        table.add_column(column, justify="right", overflow="fold")
    for name, metrics in results.systems.items():
        table.add_row(
            escape(NAMES.get(name, name)),
            *(_stack(figure) for figure in (str(metrics.auroc), *(percent(metrics.at(fpr).tpr) for fpr in FPRS))),
            *(f"{results.mean_over_folds(name, fpr):.1%}" for fpr in FPRS),
        )
    return table


def _stack(figure: str) -> str:
    """The interval below its figure: six columns must fit into 80 characters."""
    return figure.replace(" [", "\n[")


def _slice_table(name: str, what: str, rates: list[SliceRate]) -> Table:
    table = Table(title=f"By {name}: {what}", title_justify="left")
    table.add_column(name, overflow="fold")
    for column in ("records", "families", *(f"at {fpr:.1%} FPR" for fpr in FPRS)):
        table.add_column(column, justify="right", overflow="fold")
    for group in dict.fromkeys(rate.group for rate in rates):
        row = {rate.fpr: rate for rate in rates if rate.group == group}
        some = next(iter(row.values()))
        table.add_row(
            escape(group), str(some.num_records), str(some.num_families), *(percent(row[fpr].rate) for fpr in FPRS)
        )
    return table

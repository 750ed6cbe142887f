"""`stillwatch compare`: two evaluations on the same rows, as tables and one plain sentence."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stillwatch.train.consoles import open_console
from stillwatch.train.suites.comparison import (
    FIGURES,
    MAIN_FIGURE,
    TITLES,
    Comparison,
    compare,
    tell_change,
    tell_value,
)
from stillwatch.train.suites.fetching import load_evaluation
from stillwatch.train.suites.pairing import name_tpr
from stillwatch.train.summary import FPRS

SLICES = ("technique", "language", "source")
"""What the tables can be cut by."""

_TOLD = {1: "higher", -1: "lower", 0: ""}


@click.command("compare")
@click.argument("a")
@click.argument("b", required=False)
@click.option("--system-a", help="Which system of A; its first when left out.")
@click.option("--system-b", help="Which system of B; its first when left out.")
@click.option(
    "--figure", type=click.Choice(FIGURES), default=MAIN_FIGURE, show_default=True, help="What is told first."
)
@click.option("--slice", "slices", type=click.Choice(SLICES), multiple=True, default=SLICES, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on standard output.")
def compare_evaluations(
    a: str,
    b: str | None,
    system_a: str | None,
    system_b: str | None,
    figure: str,
    slices: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say whether B is better than A, worse, or not told apart.

    A and B are files that `stillwatch evaluate --json` wrote, ids of runs, or models:/NAME/VERSION; both must be of
    the same rows. Without B, two systems of A are compared: name the second with --system-b.
    """
    if b is None and system_b is None:
        raise click.UsageError("give B, or name a second system of A with --system-b")
    first = load_evaluation(a)
    second = first if b is None else load_evaluation(b)
    names = (system_a or first.first.name, system_b or second.first.name)
    comparison = compare(
        first,
        second,
        system_a=system_a,
        system_b=system_b,
        names=(a, b) if b is not None and names[0] == names[1] else names,
        main_figure=figure,
    )
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
    else:
        print_comparison(open_console(), comparison, slices=slices)


def print_comparison(console: Console, comparison: Comparison, *, slices: tuple[str, ...] = SLICES) -> None:
    """Print the table of figures, a table for each slice at the 1% threshold, and the sentence."""
    console.print(_figures_table(comparison))
    for dimension in slices:
        for is_extraction in (True, False):
            table = _slice_table(comparison, dimension, is_extraction=is_extraction)
            if table.row_count:
                console.print(table)
    console.print(escape(comparison.sentence), highlight=False)


def _figures_table(comparison: Comparison) -> Table:
    table = _new_table(f"A is {comparison.a}, B is {comparison.b}; difference B - A with paired 95% interval", "figure")
    for each in comparison.figures:
        table.add_row(
            TITLES[each.figure],
            tell_value(each.figure, each.a),
            tell_value(each.figure, each.b),
            escape(tell_change(each.figure, each.change)),
            _TOLD[each.direction] or "not told apart",
        )
    return table


def _slice_table(comparison: Comparison, dimension: str, *, is_extraction: bool) -> Table:
    figure = name_tpr(FPRS[0])
    what = "caught (TPR)" if is_extraction else "falsely flagged (FPR)"
    table = _new_table(f"By {dimension}: {what} at {FPRS[0]:.0%} FPR", dimension, "records", "families")
    for each in comparison.slices_of(dimension, is_extraction=is_extraction, fpr=FPRS[0]):
        table.add_row(
            escape(each.group),
            str(each.num_records),
            str(each.num_families),
            f"{each.a:.1%}",
            f"{each.b:.1%}",
            escape(tell_change(figure, each.change)),
            _TOLD[each.direction],
        )
    return table


def _new_table(title: str, *first: str) -> Table:
    table = Table(title=escape(title), title_justify="left")
    for place, column in enumerate((*first, "A", "B", "difference", "B is")):
        table.add_column(column, justify="left" if place == 0 or column == "B is" else "right", overflow="fold")
    return table

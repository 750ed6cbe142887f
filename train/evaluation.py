"""`stillwatch evaluate`: a bundle on labelled requests, through the scorer that the gateway calls."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from stillwatch.data.reading import read_labelled
from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import thin
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import Verdict
from stillwatch.train.progress import bar
from stillwatch.train.results import DIMENSIONS, group_records, measure, require_both_labels
from stillwatch.train.tables import print_results


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle folder; the shipped one when left out.")
@click.option(
    "--data",
    "path",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Labelled file or folder.",
)
@click.option(
    "--max-per-source",
    type=click.IntRange(min=1),
    help="At most this many records of a source, by a seeded draw.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the draw and of the intervals.")
@click.option(
    "--slice",
    "slices",
    type=click.Choice(DIMENSIONS),
    multiple=True,
    default=("technique", "source"),
    show_default=True,
)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on standard output.")
def evaluate(
    bundle: Path | None,
    path: Path,
    max_per_source: int | None,
    seed: int,
    slices: tuple[str, ...],
    threads: int,
    as_json: bool,
) -> None:
    """Measure a bundle on labelled requests.

    The records must be of families that the bundle was not trained on: its model card names those it was.
    """
    scorer = Scorer.load(bundle, num_threads=threads)
    records = read_labelled(path)
    if max_per_source is not None:
        records = thin(records, max_per_source, seed)
    require_both_labels(records)
    requests = [record.request for record in records]
    with bar("scoring", scorer.count_windows(requests), "windows") as advance:
        verdicts = scorer.score_many(requests, on_progress=advance)
    results = measure(
        records,
        {scorer.bundle.version: np.array([v.logit for v in verdicts])},
        technique_guesses=[max(v.techniques, key=v.techniques.__getitem__) for v in verdicts],
        seed=seed,
    )
    if as_json:
        click.echo(json.dumps({**results.to_json(), "actions": count_actions(records, verdicts)}, indent=2))
        return
    console = Console()
    print_results(console, results, slices=slices)
    console.print(_actions_table(count_actions(records, verdicts)))


def count_actions(records: list[LabelledRequest], verdicts: list[Verdict]) -> dict[str, dict[str, int]]:
    """How many records of each kind got each action, at the thresholds that the bundle carries."""
    counts: dict[str, Counter[str]] = {}
    actions = {id(record): verdict.action.value for record, verdict in zip(records, verdicts, strict=True)}
    for name, group in group_records(records).items():
        counts[name] = Counter(actions[id(record)] for record in group)
    return {label: dict(counter) for label, counter in counts.items()}


def _actions_table(counts: dict[str, dict[str, int]]) -> Table:
    table = Table(title="Actions at the bundle's own thresholds", title_justify="left")
    for column in ("records", "allow", "review", "flag"):
        table.add_column(column, justify="left" if column == "records" else "right")
    for label, by_action in counts.items():
        total = sum(by_action.values())
        table.add_row(
            label,
            *(f"{by_action.get(a, 0)} ({by_action.get(a, 0) / total:.1%})" for a in ("allow", "review", "flag")),
        )
    return table

"""`stillwatch pool`: the evaluations of several training runs as one table, at one threshold, with intervals."""

from __future__ import annotations

import json
from pathlib import Path

import click

from stillwatch.train.consoles import open_console
from stillwatch.train.results import DIMENSIONS
from stillwatch.train.suites.fetching import load_evaluation
from stillwatch.train.suites.keeping import EXPERIMENT, track_evaluation, write_html
from stillwatch.train.suites.pooled import pool_evaluations
from stillwatch.train.suites.printing import print_evaluation


@click.command("pool")
@click.argument("evaluations", nargs=-1, required=True)
@click.option(
    "--slice",
    "slices",
    type=click.Choice(DIMENSIONS),
    multiple=True,
    default=("family", "source"),
    show_default=True,
)
@click.option("--json", "json_path", type=click.Path(path_type=Path, allow_dash=True), help="Write JSON; - prints it.")
@click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write the report.")
@click.option("--track/--no-track", default=False, show_default=True, help="Log it as a run.")
def pool(
    evaluations: tuple[str, ...],
    slices: tuple[str, ...],
    json_path: Path | None,
    html_path: Path | None,
    track: bool,
) -> None:
    """Measure the rows of several training runs together, such as the two halves of a rotation.

    EVALUATIONS are files evaluation.json, ids of runs, or models:/NAME/VERSION; their rows must differ. What comes out
    is an evaluation: `compare` takes it as any other.
    """
    pooled = pool_evaluations([load_evaluation(each) for each in evaluations])
    if json_path is not None and str(json_path) == "-":
        click.echo(json.dumps(pooled.to_json(), ensure_ascii=False))
    else:
        print_evaluation(open_console(), pooled, slices=slices)
        if json_path is not None:
            pooled.write(json_path)
    if html_path is not None:
        write_html(pooled, html_path)
    if track:
        click.echo(f"Run  {track_evaluation(pooled, EXPERIMENT)}", err=True)

"""`stillwatch evaluate`: any model on any labelled rows, by a declared suite, beside others on the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from stillwatch.data.records import LabelledRequest
from stillwatch.model.render import render_text
from stillwatch.train.consoles import open_console
from stillwatch.train.results import DIMENSIONS
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.keeping import EXPERIMENT, track_evaluation, write_html
from stillwatch.train.suites.printing import print_evaluation
from stillwatch.train.suites.rows import load_rows
from stillwatch.train.suites.running import run_requests
from stillwatch.train.suites.suite import Kind, RequestSuite, load_request_suite, load_training_suite, read_kind
from stillwatch.train.suites.systems import DEFAULT, Options, open_systems

ROWS_SUITE = RequestSuite(name="rows", title="Rows as they are", unseen_only=False)
"""What is asked when no suite is named: figures and slices of all rows."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a call of the command asks for: its options, by their names."""

    model: str
    others: tuple[str, ...]
    suite: Path | None
    data: Path | None
    max_per_source: int | None
    overrides: tuple[str, ...]
    folder: Path | None
    options: Options
    slices: tuple[str, ...]
    json_path: Path | None
    html_path: Path | None
    embed_text: bool
    experiment: str | None
    quick: bool


@click.command()
@click.option(
    "--model",
    default=DEFAULT,
    show_default=True,
    metavar="ADDRESS",
    help="A bundle's folder, models:/NAME@ALIAS, a .skops pipeline, a Hugging Face classifier, a .csv of scores; "
    "`default` is the bundle that ships.",
)
@click.option("--also", "--baseline", "others", multiple=True, metavar="ADDRESS", help="A system beside it; repeat it.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Labelled file or folder.")
@click.option(
    "--suite", type=click.Path(path_type=Path), help="A file of configs/suites/; figures of all rows if none."
)
@click.option("--max-per-source", type=click.IntRange(min=1), help="At most this many records of a source.")
@click.option(
    "--slice",
    "slices",
    type=click.Choice(DIMENSIONS),
    multiple=True,
    default=("technique", "source"),
    show_default=True,
)
@click.option("--positive-label", help="The label that means extraction, for classifiers that do not say so.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Inside one call.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For training suites: override; repeat it."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="For training and stream suites: where checkpoints and worlds go."
)
@click.option("--quick", is_flag=True, help="For stream suites: one rotation and small worlds, in minutes.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, allow_dash=True), help="Write JSON; - prints it.")
@click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write the report.")
@click.option("--embed-text", is_flag=True, help="Put texts of the listed requests into the report: mind who reads it.")
@click.option("--track/--no-track", default=True, show_default=True, help="Log it as a run.")
@click.option("--experiment", default=EXPERIMENT, show_default=True, help="What the run belongs to.")
def evaluate(
    model: str,
    others: tuple[str, ...],
    data: Path | None,
    suite: Path | None,
    max_per_source: int | None,
    slices: tuple[str, ...],
    positive_label: str | None,
    threads: int,
    overrides: tuple[str, ...],
    folder: Path | None,
    quick: bool,
    json_path: Path | None,
    html_path: Path | None,
    embed_text: bool,
    track: bool,
    experiment: str,
) -> None:
    """Measure a model, and others beside it, on labelled requests.

    Figures count only on families that no system was trained on: a bundle says which those are where it can.
    """
    if embed_text and html_path is None:
        raise click.UsageError("--embed-text is for --html")
    order = Order(
        model=model,
        others=others,
        suite=suite,
        data=data,
        max_per_source=max_per_source,
        overrides=overrides,
        folder=folder,
        options=Options(threads, positive_label),
        slices=slices,
        json_path=json_path,
        html_path=html_path,
        embed_text=embed_text,
        experiment=experiment if track else None,
        quick=quick,
    )
    kind = "requests" if suite is None else read_kind(suite)
    if quick and kind not in ("streams", "campaigns"):
        raise click.UsageError("--quick is for suites of streams and campaigns")
    RUNNERS[kind](order)


def deliver(evaluation: Evaluation, records: Sequence[LabelledRequest], order: Order) -> None:
    """Print, write and log what was measured, as the order says; `records` hold the texts that it may embed."""
    if order.json_path is not None and str(order.json_path) == "-":
        click.echo(json.dumps(evaluation.to_json(), ensure_ascii=False))
    else:
        print_evaluation(open_console(), evaluation, slices=order.slices)
        if order.json_path is not None:
            evaluation.write(order.json_path)
    if order.html_path is not None:
        texts = {record.id: render_text(record.request) for record in records} if order.embed_text else None
        write_html(evaluation, order.html_path, texts)
    if order.experiment is not None:
        click.echo(f"Run  {track_evaluation(evaluation, order.experiment)}", err=True)


def run_request_suite(order: Order) -> None:
    """Systems as they are, on rows."""
    if order.overrides or order.folder is not None:
        raise click.UsageError("--set and --folder are for training suites")
    if order.suite is None and order.data is None:
        raise click.UsageError(
            "give --data FILE, or a suite with rows of its own, such as configs/suites/requests.yaml"
        )
    suite = ROWS_SUITE if order.suite is None else load_request_suite(order.suite)
    systems = open_systems([order.model, *order.others], order.options)
    rows = load_rows(suite, systems, order.data, order.max_per_source)
    evaluation = run_requests(suite, systems, rows, num_threads=order.options.num_threads)
    deliver(evaluation, rows.records, order)


def run_training_suite(order: Order) -> None:
    """Systems fitted in the run; see `train/suites/training.py`."""
    if order.model != DEFAULT or order.others:
        raise click.UsageError("--model and --also are for suites of requests: a training suite fits its own systems")
    from stillwatch.train.planning import load_records
    from stillwatch.train.suites.training import plan_training, run_training

    suite = load_training_suite(order.suite or Path())
    config = plan_training(suite, data=order.data, max_per_source=order.max_per_source, overrides=order.overrides)
    folder = order.folder or Path("runs") / f"suite-{suite.name}"
    evaluation = run_training(suite, config, folder=folder, console=Console(stderr=True))
    deliver(evaluation, load_records(config).records if order.embed_text else (), order)


def run_suite_of_streams(order: Order) -> None:
    """Accounts and campaigns, simulated; see `train/streams/running.py`."""
    if order.others or order.html_path is not None:
        raise click.UsageError("--also and --html are for suites of requests: a stream suite brings its own baselines")
    from stillwatch.train.streams.running import load_stream_suite, run_stream_suite

    suite = load_stream_suite(order.suite or Path(), order.overrides)
    evaluation = run_stream_suite(
        suite,
        folder=order.folder or Path("runs") / f"suite-{suite.model.stem}",
        console=Console(stderr=True),
        quick=order.quick,
        bundle=None if order.model == DEFAULT else Path(order.model),
        data_root=order.data,
        experiment=order.experiment,
    )
    if order.json_path is not None and str(order.json_path) == "-":
        click.echo(json.dumps(evaluation.to_json()))
        return
    evaluation.print(open_console())
    if order.json_path is not None:
        evaluation.write(order.json_path)


RUNNERS: dict[Kind, Callable[[Order], None]] = {
    "requests": run_request_suite,
    "training": run_training_suite,
    "streams": run_suite_of_streams,
    "campaigns": run_suite_of_streams,
}
"""The one place where a suite's kind decides who runs it."""

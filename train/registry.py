"""The commands that look at tracked runs and registered versions: `stillwatch runs`.

The tracking store is opened when a command runs, so that `stillwatch --help` stays quick.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table

from stillwatch.train.ledger import RunRecord, VersionRecord

HEADLINES = ("auroc", "tpr_at_fpr_0.01", "tpr_at_fpr_0.001")
"""Test figures that tables show."""

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def runs() -> None:
    """Look at tracked runs and registered versions."""


@runs.command("list")
@click.option("--experiment", help="Only this experiment.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many runs.")
@_as_json
def list_runs(experiment: str | None, limit: int, as_json: bool) -> None:
    """List the latest runs."""
    from stillwatch.train.tracking import Store

    found = Store.open().list_runs(experiment, max_runs=limit)
    if as_json:
        _echo_json([run.to_json() for run in found])
    else:
        _print_runs(found)


@runs.command("show")
@click.argument("run")
@_as_json
def show_run(run: str, as_json: bool) -> None:
    """Show one run; RUN is its id or the beginning of it."""
    from stillwatch.train.tracking import Store

    record = Store.open().get_run(run)
    if as_json:
        _echo_json(record.to_json())
        return
    click.echo(f"{record.name}  {record.id}\n{record.experiment}, {record.status}, started {record.started}")
    for title, entries in (("metrics", record.metrics), ("params", record.params), ("tags", record.tags)):
        click.echo(f"\n{title}")
        for key, value in sorted(entries.items()):
            click.echo(f"  {key}  {value:.6g}" if isinstance(value, float) else f"  {key}  {value}")


@runs.command("versions")
@click.argument("name", required=False)
@_as_json
def list_versions(name: str | None, as_json: bool) -> None:
    """List registered versions, of the model NAME or of all."""
    from stillwatch.train.tracking import Store

    found = Store.open().list_versions(name)
    if as_json:
        _echo_json([version.to_json() for version in found])
    else:
        _print_versions(found)


@runs.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on loopback.")
def show_page(port: int) -> None:
    """Print the command that opens the tracking page."""
    from stillwatch.train.tracking import Store

    store = Store.open()
    if store.uri.startswith("http"):
        click.echo(f"The tracking server has the page: {store.address}")
        return
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        store.address,
        "--port",
        str(port),
    ]
    settings = "MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"
    click.echo(f"{settings} {shlex.join(command)}")
    click.echo(f"then open http://127.0.0.1:{port}", err=True)


def _echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _figure(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.4f}" if name in figures else "-"


def _new_table(*headings: str) -> Table:
    table = Table(box=None)
    for heading in headings:
        table.add_column(heading, no_wrap=heading in ("run", "version"))
    return table


def _print_table(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _print_runs(found: list[RunRecord]) -> None:
    table = _new_table("run", "name", "experiment", "status", "started", "minutes", *HEADLINES)
    for run in found:
        minutes = "-" if run.duration_s is None else f"{run.duration_s / 60:.1f}"
        figures = [_figure(run.test_figures, name) for name in HEADLINES]
        table.add_row(run.id[:8], run.name, run.experiment, run.status, run.started, minutes, *figures)
    _print_table(table)


def _print_versions(found: list[VersionRecord]) -> None:
    table = _new_table("model", "version", "aliases", "registered", "run")
    for one in found:
        table.add_row(one.name, str(one.version), ", ".join(one.aliases), one.created, (one.run_id or "-")[:8])
    _print_table(table)

"""`stillwatch train`: one configuration, one run, one registered bundle."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from stillwatch.train.config import load_config
from stillwatch.train.consoles import open_console


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="A file of configs/.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in fit.epochs=2; repeat it.")
@click.option("--data-root", type=click.Path(path_type=Path), help="The folder that the paths of sources start from.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where checkpoints, results and the bundle go; runs/NAME when left out.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run in that folder was.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on standard output.")
def train(
    config_path: Path,
    overrides: tuple[str, ...],
    data_root: Path | None,
    folder: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train a classifier on whole families, measure it on others, and register its bundle.

    Also runs under torchrun, where each process takes a share of every batch.
    """
    if data_root is not None:
        overrides = (*overrides, f"data_root={json.dumps(str(data_root))}")
    config = load_config(config_path, overrides)
    target = folder or Path("runs") / config.name
    # Torch and its friends are loaded only now, so that a wrong configuration is told at once.
    from stillwatch.train.pipeline import follow
    from stillwatch.train.pipeline import train as run
    from stillwatch.train.processes import is_lead
    from stillwatch.train.tables import print_results

    if not is_lead():
        follow(config, folder=target, resume=resume)
        return
    outcome = run(config, folder=target, console=Console(stderr=True), resume=resume)
    if as_json:
        click.echo(json.dumps(outcome.results.to_json(), indent=2))
    else:
        print_results(open_console(), outcome.results)
    # Not the console: it would break a long path or address where the terminal ends.
    click.echo(f"Bundle      {outcome.bundle.folder} ({outcome.bundle.version})", err=True)
    click.echo(f"Run         {outcome.page or outcome.run_id}", err=True)
    if (version := outcome.version) is not None:
        click.echo(f"Registered  {version.name} version {version.version} ({', '.join(version.aliases)})", err=True)
    if outcome.page is None:
        click.echo("Its page    stillwatch runs ui", err=True)

"""`stillwatch data`: builds datasets and tells what is in one.

The generator's libraries come with the extra `train`; they are imported when a command needs them, so that a
base install can list its commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from stillwatch.data.artefact import build_dataset, check_target, load_dataset_folder
from stillwatch.data.contents import Contents, count_contents
from stillwatch.data.errors import ConfigError
from stillwatch.data.reading import read_labelled
from stillwatch.data.records import LabelledRequest
from stillwatch.data.streams.commands import fit, shapes, streams

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def data() -> None:
    """Build and describe datasets."""


@data.command()
@click.option("--out", type=_FOLDER, required=True, help="Folder to make.")
@click.option("--num", "num_requests", type=click.IntRange(min=1), required=True, help="How many to generate.")
@click.option("--seed", type=int, default=0, show_default=True, help="The only source of chance.")
@click.option("--families", type=_FOLDER, help="Folder of family files instead of the shipped ones.")
@click.option("--authored/--no-authored", default=True, help="Add the authored requests.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def build(out: Path, num_requests: int, seed: int, families: Path | None, authored: bool, as_json: bool) -> None:
    """Generate a dataset into a folder of Parquet shards with a manifest."""
    check_target(out)
    generated, version = _generate(num_requests, seed, families)
    written = _load_authored() if authored else []
    total = num_requests + len(written)
    records = track(chain(generated, written), "Generating", total=total, console=Console(stderr=True), transient=True)
    manifest = build_dataset(records, out, seed=seed, generator_version=version)
    if as_json:
        click.echo(json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True))
    else:
        click.echo(f"{out}: {manifest['rows']} requests, seed {seed}")


@data.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def describe(path: Path, as_json: bool) -> None:
    """Tell what is in a labelled file, a folder of them, or a built dataset."""
    is_dataset = (path / "manifest.json").is_file()
    contents = count_contents(load_dataset_folder(path) if is_dataset else read_labelled(path))
    if as_json:
        click.echo(json.dumps(contents.as_json(), ensure_ascii=False, indent=2))
    else:
        _print_contents(contents)


for command in (streams, shapes, fit):
    data.add_command(command)


def _generate(num_requests: int, seed: int, families: Path | None) -> tuple[Iterator[LabelledRequest], str]:
    try:
        from stillwatch.data.generator import GENERATOR_VERSION, generate
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed; run `pip install 'stillwatch[train]'`") from error
    return generate(num_requests=num_requests, seed=seed, families=families), GENERATOR_VERSION


def _load_authored() -> list[LabelledRequest]:
    from stillwatch.data.authored import load_authored

    return load_authored()


def _print_contents(contents: Contents) -> None:
    console = Console()
    lengths = contents.characters
    console.print(
        f"{contents.rows} requests of {contents.families} families; characters: median {lengths.median:g}, "
        f"90th percentile {lengths.p90:g}, longest {lengths.longest}"
    )
    for column, counts in contents.counts.items():
        table = Table(column, "requests", "share")
        for value, count in counts.items():
            table.add_row(value, str(count), f"{100 * count / contents.rows:.1f}%")
        console.print(table)

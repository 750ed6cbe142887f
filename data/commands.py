"""`stillwatch data`: builds datasets and tells what is in one.

The generator's libraries come with the extra `train`; they are imported when a command needs them, so that a
base install can list its commands.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from stillwatch.data.artefact import load_any
from stillwatch.data.contents import Contents, count_contents
from stillwatch.data.errors import ConfigError
from stillwatch.data.streams.commands import fit, shapes, streams

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group()
def data() -> None:
    """Build and describe datasets."""


@data.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), required=True, help="A recipe of configs/.")
@click.option("--out", type=_FOLDER, required=True, help="Folder to make.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override, as in seed=3; repeat it.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def build(config_path: Path, out: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Build a dataset: Parquet shards by split, a manifest, a datasheet and a page.

    A build that was interrupted goes on where it was when it is called again.
    """
    try:
        from stillwatch.data.building import build as run
        from stillwatch.data.configuration import load_config_file
        from stillwatch.data.recipe import Recipe
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    recipe = load_config_file(Recipe, config_path, overrides)
    console = Console(stderr=True)
    with console.status("starting") as status:
        manifest = run(recipe, out, on_step=lambda step: status.update(f"{step} ..."))
    if as_json:
        click.echo(json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True))
        return
    worst = max(manifest["facts"]["audit_after"]["auc"].values(), key=lambda auc: abs(auc - 0.5))
    splits = ", ".join(f"{name} {counts['rows']:,}" for name, counts in manifest["splits"].items())
    click.echo(f"{out}: {manifest['rows']:,} requests ({splits}), strongest outward feature AUC {worst:.3f}")
    click.echo(f"Read {out / 'DATASHEET.md'}, open {out / 'index.html'}")


@data.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--limit", type=click.FloatRange(0.5, 1.0), help="Fail beyond this AUC of a single feature.")
@click.option("--json", "as_json", is_flag=True, help="Print every feature as JSON.")
def audit(path: Path, limit: float | None, as_json: bool) -> None:
    """Tell how far single outward features (length, markup, language, ...) give the labels away."""
    try:
        from stillwatch.data.audit import audit_surface
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    found = audit_surface(load_any(path))
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        table = Table("outward feature", "AUC", title=f"{found.num_extraction} extraction, {found.num_benign} benign")
        for feature in found.features[:15]:
            table.add_row(feature.feature, f"{feature.auc:.3f}")
        Console().print(table)
    if limit is not None:
        found.require(limit)


@data.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
def check(path: Path) -> None:
    """Check family files: whether they render, whether draws differ, whether form gives the label away."""
    try:
        from stillwatch.data.checking import DRAWS, check_families
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    checks, found = check_families(path)
    table = Table("family", "label", f"near-duplicates of {DRAWS} draws", "characters, median")
    for each in checks:
        table.add_row(each.name, each.label, str(each.near_duplicates), str(each.characters))
    console = Console()
    console.print(table)
    if found is not None:
        told = ", ".join(f"{feature.feature} {feature.auc:.2f}" for feature in found.features[:5])
        console.print(f"Outward features that tell the labels apart most (AUC, 0.5 is none): {told}")


@data.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
def describe(path: Path, as_json: bool) -> None:
    """Tell what is in a labelled file, a folder of them, or a built dataset."""
    contents = count_contents(load_any(path))
    if as_json:
        click.echo(json.dumps(contents.as_json(), ensure_ascii=False, indent=2))
    else:
        _print_contents(contents)


for command in (streams, shapes, fit):
    data.add_command(command)


def _not_installed(error: ModuleNotFoundError) -> ConfigError:
    return ConfigError(f"{error.name} is not installed; run `pip install 'stillwatch[train]'`")


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

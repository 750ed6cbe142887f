"""`stillwatch fetch`: a registered bundle becomes a folder that a service watches, in one step, never half there.

The folder is a link. What it leads to lies beside it, one folder a version, in FOLDER.versions: a new version is
fetched and checked there, then the link is turned, and all but the version before it are removed. The service resolves
the link before it reads, so it reads one version or the other.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from stillwatch.data.errors import SourceError
from stillwatch.model.bundle import load_bundle


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a bundle came to lie.

    Attributes:
        folder: the link.
        version: the bundle's.
        before: the version that the link led to; None for the first.
        is_new: whether the link was turned.
    """

    folder: str
    version: str
    before: str | None
    is_new: bool


@click.command()
@click.argument("uri")
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="The folder: made, or updated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fetch(uri: str, folder: Path, as_json: bool) -> None:
    """Bring the bundle URI, such as models:/stillwatch@champion, to a folder that `stillwatch serve` watches.

    The bundle is checked before the folder leads to it; the version before stays beside it. Run it again, by hand or
    by cron, when the alias has moved: the service takes the new one without a restart.
    """
    from stillwatch.train.tracking import Store

    store = Store.open()
    check_link(folder)
    versions = folder.with_name(f"{folder.name}.versions")
    versions.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=versions, prefix=".fetched-") as scratch:
        placed = place_bundle(store.download_bundle(uri, Path(scratch) / "bundle"), folder)
    if as_json:
        click.echo(json.dumps(asdict(placed)))
    elif placed.is_new:
        click.echo(f"{placed.folder} leads to {placed.version} now; before it: {placed.before or 'nothing'}")
    else:
        click.echo(f"{placed.folder} leads to {placed.version} already")


def check_link(folder: Path) -> None:
    """Refuse to replace what is no link.

    Raises:
        SourceError: there is a real folder or file.
    """
    if folder.exists() and not folder.is_symlink():
        raise SourceError(f"{folder}: not a link that fetch made; name a new place, and have the service read that")


def place_bundle(fetched: Path, folder: Path) -> Placed:
    """Check a bundle, move it beside a link, and turn the link to it.

    Args:
        fetched: the bundle, below FOLDER.versions; moved away.
        folder: the link.

    Raises:
        BundleError: the bundle is none, or not whole; the link leads where it did.
    """
    version = load_bundle(fetched).version
    versions = folder.with_name(f"{folder.name}.versions")
    before = folder.readlink().name if folder.is_symlink() else None
    if before == version and folder.exists():
        return Placed(str(folder), version, before, is_new=False)
    target = versions / version
    if target.exists():  # a version that returns
        shutil.rmtree(target)
    fetched.rename(target)
    with tempfile.TemporaryDirectory(dir=versions, prefix=".link-") as scratch:
        link = Path(scratch) / "link"
        link.symlink_to(Path(versions.name) / version, target_is_directory=True)
        link.replace(folder)
    for old in versions.iterdir():
        if old.name not in (version, before) and not old.name.startswith("."):
            shutil.rmtree(old)
    return Placed(str(folder), version, before, is_new=True)

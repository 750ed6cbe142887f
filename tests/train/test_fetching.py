"""`stillwatch fetch` from a real SQLite store: an alias becomes a folder that moves with it and is never half there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillwatch.data.errors import BundleError, SourceError, TrackingError
from stillwatch.model.bundle import MODEL_CARD, TOKENIZER, Bundle, load_bundle, seal_bundle
from stillwatch.train.fetching import fetch
from stillwatch.train.tracking import Store, Tracker

CHAMPION = "models:/fetched@champion"


def register(store_uri: str, folder: Path) -> int:
    with Tracker.open("fetching", "a run", tracking_uri=store_uri) as tracker:
        tracker.log_folder(folder, "bundle")
        return tracker.register("fetched", "bundle", aliases=()).version


def build_variant(bundle: Bundle, folder: Path) -> Bundle:
    shutil.copytree(bundle.folder, folder)
    (folder / MODEL_CARD).write_text(f"# {folder.name}\n")
    return seal_bundle(folder, bundle.manifest)


@pytest.fixture(autouse=True)
def store(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    return Store.open(store_uri)


def run(*arguments: str) -> str:
    return CliRunner().invoke(fetch, [*arguments], catch_exceptions=False).stdout


def test_an_alias_becomes_a_folder_that_moves_with_it_and_keeps_the_version_before(
    store: Store, store_uri: str, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    bundles = [tiny_bundle, *(build_variant(tiny_bundle, tmp_path / name) for name in ("second", "third"))]
    folder = tmp_path / "served"
    for number, bundle in enumerate(bundles):
        store.move_alias("fetched", register(store_uri, bundle.folder), "champion")
        told = json.loads(run(CHAMPION, "--to", str(folder), "--json"))
        before = bundles[number - 1].version if number else None
        assert told == {"folder": str(folder), "version": bundle.version, "before": before, "is_new": True}
        assert load_bundle(folder.resolve()).version == bundle.version
    kept = {path.name for path in (tmp_path / "served.versions").iterdir()}
    assert kept == {bundle.version for bundle in bundles[1:]}
    assert "already" in run(CHAMPION, "--to", str(folder))
    run("models:/fetched/1", "--to", str(folder))
    assert load_bundle(folder.resolve()).version == tiny_bundle.version

    broken = build_variant(tiny_bundle, tmp_path / "broken").folder
    (broken / TOKENIZER).write_text("{}")
    store.move_alias("fetched", register(store_uri, broken), "champion")
    with pytest.raises(BundleError, match="changed since"):
        run(CHAMPION, "--to", str(folder))
    with pytest.raises(TrackingError):
        run("models:/fetched@nobody", "--to", str(folder))
    assert load_bundle(folder.resolve()).version == tiny_bundle.version
    assert not [path for path in (tmp_path / "served.versions").iterdir() if path.name.startswith(".")]


def test_a_folder_that_is_no_link_is_left_alone(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "mine"))
    with pytest.raises(SourceError, match="not a link"):
        run(CHAMPION, "--to", str(folder))
    assert load_bundle(folder).version == tiny_bundle.version

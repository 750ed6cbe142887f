"""A run of the shared store, under way, and the folder of a bundle that it may keep."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.train.tracking import Tracker


@pytest.fixture
def tracker(store_uri: str, request: pytest.FixtureRequest) -> Tracker:
    return Tracker.open(f"experiment of {request.node.name}", "a run", tracking_uri=store_uri)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "bundle.json").write_text('{"format": 1}\n')
    (folder / "tokenizer" / "vocab.txt").write_text("a\nb\n")
    return folder

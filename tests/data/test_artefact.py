from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillwatch.data.artefact import build_dataset, load_dataset_folder
from stillwatch.data.authored import BLOCK_ROWS, load_authored
from stillwatch.data.commands import data
from stillwatch.data.errors import SourceError
from stillwatch.data.generator import generate
from stillwatch.data.labels import Label
from stillwatch.data.reading import read_labelled
from stillwatch.data.records import LabelledRequest


@pytest.fixture(scope="module")
def records() -> list[LabelledRequest]:
    return [*generate(num_requests=40, seed=2), *load_authored()[:30]]


def build(records: list[LabelledRequest], folder: Path) -> Path:
    build_dataset(records, folder, seed=2, generator_version="1", rows_per_shard=32)
    return folder


def test_what_was_built_is_what_is_read(records: list[LabelledRequest], tmp_path: Path) -> None:
    folder = build(records, tmp_path / "set")
    assert load_dataset_folder(folder) == records
    assert read_labelled(folder) == records
    assert len(list(folder.glob("*.parquet"))) == 3


def test_equal_records_give_equal_bytes(records: list[LabelledRequest], tmp_path: Path) -> None:
    one, two = build(records, tmp_path / "one"), build(records, tmp_path / "two")
    assert [f.read_bytes() for f in sorted(one.iterdir())] == [f.read_bytes() for f in sorted(two.iterdir())]


def test_the_manifest_counts_every_row(records: list[LabelledRequest], tmp_path: Path) -> None:
    manifest = json.loads((build(records, tmp_path / "set") / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["rows"] == len(records)
    assert all(sum(counts.values()) == len(records) for counts in manifest["counts"].values())
    assert sum(shard["rows"] for shard in manifest["shards"]) == len(records)
    assert manifest["generator"] == {"seed": 2, "version": "1"}


def test_a_changed_shard_is_refused(records: list[LabelledRequest], tmp_path: Path) -> None:
    folder = build(records, tmp_path / "set")
    shard = folder / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(SourceError, match=r"shard-00001.*changed"):
        load_dataset_folder(folder)


def test_a_build_that_breaks_off_leaves_nothing(records: list[LabelledRequest], tmp_path: Path) -> None:
    accounted = replace(records[-1], request=replace(records[-1].request, account="someone"))
    with pytest.raises(SourceError, match="carries"):
        build([*records, accounted], tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_never_overwritten(records: list[LabelledRequest], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(SourceError, match="no dataset of ours"):
        build(records, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_older_dataset_is_replaced_whole(records: list[LabelledRequest], tmp_path: Path) -> None:
    folder = build(records, tmp_path / "set")
    build(records[:5], folder)
    assert load_dataset_folder(folder) == records[:5]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_neighbours_of_the_authored_requests_share_a_family() -> None:
    authored = load_authored()
    assert len(authored) == 1957
    assert len({record.id for record in authored}) == 1957
    twins = [record for record in authored if record.source == "authored.n"]
    assert [r.family for r in twins] == [f"authored.n.{i // BLOCK_ROWS:02}" for i in range(len(twins))]
    assert all((r.technique is None) == (r.label is Label.BENIGN) for r in authored)


def test_the_commands_build_and_describe(tmp_path: Path) -> None:
    runner = CliRunner()
    folder = str(tmp_path / "set")
    arguments = ["build", "--out", folder, "--num", "20", "--no-authored", "--json"]
    built = runner.invoke(data, arguments, catch_exceptions=False)
    assert json.loads(built.stdout)["rows"] == 20
    described = runner.invoke(data, ["describe", folder, "--json"], catch_exceptions=False)
    contents = json.loads(described.stdout)
    assert contents["counts"]["label"] == {"extraction": 10, "benign": 10}
    assert "20 requests" in runner.invoke(data, ["describe", folder], catch_exceptions=False).stdout

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillwatch.data.artefact import load_dataset_folder, write_dataset
from stillwatch.data.authored import load_authored
from stillwatch.data.errors import SourceError
from stillwatch.data.generator import generate
from stillwatch.data.records import LabelledRequest

Splits = dict[str, list[LabelledRequest]]
FACTS = {"dropped": 0}


@pytest.fixture(scope="module")
def splits() -> Splits:
    return {"train": [*generate(num_requests=40, seed=2), *load_authored()[:30]], "test": load_authored()[40:50]}


def build(splits: Splits, folder: Path, **arguments: Any) -> Path:
    options: dict[str, Any] = {"recipe": {"seed": 2}, "facts": FACTS, "rows_per_shard": 32}
    write_dataset(splits, folder, **(options | arguments))
    return folder


def test_what_was_built_is_what_is_read(splits: Splits, tmp_path: Path) -> None:
    folder = build(splits, tmp_path / "set")
    assert load_dataset_folder(folder) == splits["train"] + splits["test"]
    assert load_dataset_folder(folder, ["test"]) == splits["test"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "test-00000.parquet",
        *(f"train-0000{number}.parquet" for number in range(3)),
    ]
    with pytest.raises(SourceError, match="no split exam; choose from test, train"):
        load_dataset_folder(folder, ["exam"])


def test_equal_records_give_equal_bytes(splits: Splits, tmp_path: Path) -> None:
    one, two = build(splits, tmp_path / "one"), build(splits, tmp_path / "two")
    assert [f.read_bytes() for f in sorted(one.iterdir())] == [f.read_bytes() for f in sorted(two.iterdir())]


def test_the_manifest_counts_every_row(splits: Splits, tmp_path: Path) -> None:
    manifest = json.loads((build(splits, tmp_path / "set") / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["rows"] == 80
    for name, rows in splits.items():
        counts = manifest["splits"][name]
        assert counts["rows"] == len(rows)
        assert all(sum(column.values()) == len(rows) for column in counts.values() if isinstance(column, dict))
    assert sum(shard["rows"] for shard in manifest["shards"]) == 80
    assert (manifest["recipe"], manifest["facts"]) == ({"seed": 2}, FACTS)


def test_a_changed_shard_is_refused(splits: Splits, tmp_path: Path) -> None:
    folder = build(splits, tmp_path / "set")
    shard = folder / "train-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(SourceError, match=r"train-00001.*changed"):
        load_dataset_folder(folder)


def test_a_build_that_breaks_off_is_taken_for_no_dataset(splits: Splits, tmp_path: Path) -> None:
    last = splits["test"][-1]
    accounted = replace(last, request=replace(last.request, account="someone"))
    with pytest.raises(SourceError, match="carries account"):
        build(splits | {"test": [accounted]}, tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == [".set.draft"]
    with pytest.raises(SourceError, match="build one with"):
        load_dataset_folder(tmp_path / ".set.draft")


def test_an_interrupted_build_goes_on_with_its_whole_shards_and_ends_the_same(splits: Splits, tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    whole = build(splits, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(splits, tmp_path / "set", on_shard=stop)
    draft = tmp_path / ".set.draft"
    first = draft / "train-00000.parquet"
    written = first.stat().st_mtime_ns
    (draft / "train-00001.part").write_bytes(b"half a sh")
    seen: list[int] = []

    def look(rows: int) -> None:
        seen.append(first.stat().st_mtime_ns)

    build(splits, tmp_path / "set", on_shard=look)
    assert set(seen) == {written}
    assert [f.read_bytes() for f in sorted(whole.iterdir())] == [
        f.read_bytes() for f in sorted((tmp_path / "set").iterdir())
    ]
    assert not draft.exists()


def test_a_draft_shard_that_is_broken_or_of_another_recipe_is_written_again(splits: Splits, tmp_path: Path) -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    for change, recipe in ((b"broken", {"seed": 2}), (None, {"seed": 3})):
        with pytest.raises(KeyboardInterrupt):
            build(splits, tmp_path / "set", on_shard=stop)
        shard = tmp_path / ".set.draft" / "train-00000.parquet"
        if change:
            shard.write_bytes(change)
        assert load_dataset_folder(build(splits, tmp_path / "set", recipe=recipe))[:40] == splits["train"][:40]


def test_a_folder_of_somebody_else_is_never_overwritten(splits: Splits, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(SourceError, match="no dataset of ours"):
        build(splits, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_older_dataset_is_replaced_whole(splits: Splits, tmp_path: Path) -> None:
    folder = build(splits, tmp_path / "set")
    build({"train": splits["train"][:5]}, folder)
    assert load_dataset_folder(folder) == splits["train"][:5]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]

"""What a run keeps, in a real SQLite store: settings, figures by step, data sets, files, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from stillwatch.data.errors import TrackingError
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.tracking import Tracker


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nested_parameters_are_kept_under_dotted_names(tracker: Tracker) -> None:
    with tracker:
        tracker.log_params(
            {
                "fit": {"epochs": 3, "bf16": True, "limit": None},
                "sources": [{"kind": "files", "path": Path("a/b")}],
                "folds": (0, 1),
                "empty": {},
            }
        )
    assert tracker.store.get_run(tracker.run_id).params == {
        "fit.epochs": "3",
        "fit.bf16": "true",
        "fit.limit": "null",
        "sources.0.kind": "files",
        "sources.0.path": '"a/b"',
        "folds": "[0, 1]",
        "empty": "{}",
    }


def test_more_parameters_than_one_call_takes_are_all_kept(tracker: Tracker) -> None:
    with tracker:
        tracker.log_params({f"p{number}": number for number in range(250)})
    assert len(tracker.store.get_run(tracker.run_id).params) == 250


def test_a_long_parameter_is_cut_and_says_so(tracker: Tracker) -> None:
    with tracker:
        tracker.log_params({"long": "x" * 9000})
    kept = tracker.store.get_run(tracker.run_id).params["long"]
    assert kept.endswith("[cut, 9000 characters]")
    assert len(kept) == 6000


def test_a_parameter_cannot_change(tracker: Tracker) -> None:
    with tracker:
        tracker.log_params({"seed": 1})
        with pytest.raises(TrackingError, match="once"):
            tracker.log_params({"seed": 2})


def test_metrics_are_kept_by_step(tracker: Tracker) -> None:
    with tracker:
        for step in (10, 20, 30):
            tracker.log_metrics({"train/loss": 1 / step, "validation/tpr_at_fpr_0.01": 0.5}, step=step)
    history = tracker.store.client.get_metric_history(tracker.run_id, "train/loss")
    assert [(entry.step, entry.value) for entry in history] == [(10, 0.1), (20, 0.05), (30, 1 / 30)]


def test_a_data_set_is_known_by_our_digest(tracker: Tracker) -> None:
    digest = "0123456789abcdef" * 4
    with tracker:
        tracker.log_dataset("generated", digest, {"benign": 9, "extraction": 3}, "train")
        tracker.log_dataset("authored", digest[::-1], {"benign": 1}, "test")
    inputs = tracker.store.client.get_run(tracker.run_id).inputs
    by_name = {one.dataset.name: one for one in (inputs.dataset_inputs if inputs else [])}
    assert digest.startswith(by_name["generated"].dataset.digest)
    assert json.loads(by_name["generated"].dataset.source) == {"digest": digest}
    assert json.loads(by_name["generated"].dataset.profile or "") == {"benign": 9, "extraction": 3}
    assert {tag.value for tag in by_name["authored"].tags} == {"test"}


def test_figures_texts_and_folders_are_kept_as_files(tracker: Tracker, bundle: Path, tmp_path: Path) -> None:
    with tracker:
        tracker.log_figure(Figure(), "plots/empty.png")
        tracker.log_json({"a": [1]}, "reports/a.json")
        tracker.log_folder(bundle, "bundle")
    plots = tracker.store.download_bundle(f"runs:/{tracker.run_id}/plots", tmp_path / "plots")
    assert (plots / "empty.png").read_bytes().startswith(b"\x89PNG")
    reports = tracker.store.download_bundle(f"runs:/{tracker.run_id}/reports", tmp_path / "reports")
    assert json.loads((reports / "a.json").read_text()) == {"a": [1]}
    copy = tracker.store.download_bundle(f"runs:/{tracker.run_id}/bundle", tmp_path / "copy")
    assert files_below(copy) == files_below(bundle)


def test_provenance_becomes_tags(tracker: Tracker) -> None:
    with tracker:
        tracker.set_tags(describe_provenance(seed=7))
    tags = tracker.store.get_run(tracker.run_id).tags
    assert tags["seed"] == "7"
    assert tags["version.mlflow"].startswith("3.")


def test_a_run_ends_as_its_block_ended(store_uri: str) -> None:
    with Tracker.open("endings", "well", tracking_uri=store_uri) as well:
        pass
    failed = Tracker.open("endings", "badly", tracking_uri=store_uri)
    with pytest.raises(ZeroDivisionError), failed:
        _ = 1 / 0
    killed = Tracker.open("endings", "stopped", tracking_uri=store_uri)
    with pytest.raises(KeyboardInterrupt), killed:
        raise KeyboardInterrupt
    status = [well.store.get_run(one.run_id).status for one in (well, failed, killed)]
    assert status == ["FINISHED", "FAILED", "KILLED"]


def test_folds_stand_below_their_run(tracker: Tracker) -> None:
    with tracker, tracker.open_child("fold-0") as fold:
        fold.log_metrics({"test/auroc": 0.9})
    record = tracker.store.get_run(fold.run_id)
    assert (record.parent, record.name, record.test_figures) == (tracker.run_id, "fold-0", {"auroc": 0.9})


def test_a_folder_that_the_run_does_not_keep_is_not_registered(tracker: Tracker) -> None:
    with tracker, pytest.raises(TrackingError, match="log_folder comes first"):
        tracker.register("nothing", "bundle")
    assert all(one.name != "nothing" for one in tracker.store.list_versions())

"""Runs, registry and promotion in a real SQLite store, and in a real server on loopback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from stillwatch.data.errors import TrackingError
from stillwatch.train.ledger import Promotion
from stillwatch.train.promotion import find_candidacy, hand_over
from stillwatch.train.provenance import describe_provenance
from stillwatch.train.tracking import Store, Tracker


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


def test_a_text_is_read_back_and_a_missing_one_is_told(tracker: Tracker) -> None:
    with tracker:
        tracker.log_text("a\nb\n", "a.txt")
    assert tracker.store.read_text(tracker.run_id, "a.txt") == "a\nb\n"
    with pytest.raises(TrackingError, match=rf"run {tracker.run_id[:8]} keeps no b\.txt"):
        tracker.store.read_text(tracker.run_id, "b.txt")


def test_tags_of_a_version_are_set_cut_and_taken_away(tracker: Tracker, bundle: Path) -> None:
    with tracker:
        tracker.log_folder(bundle, "bundle")
        tracker.register("tagged", "bundle", tags={"old": "1", "kept": "2"})
    store = tracker.store
    store.tag_version("tagged", 1, {"new": "3", "long": "x" * 200_000}, remove=["old"])
    (version,) = store.list_versions("tagged")
    assert (version.tags["new"], version.tags["kept"], "old" in version.tags) == ("3", "2", False)
    assert version.tags["long"].endswith("[cut, 200000 characters]")
    with pytest.raises(TrackingError, match="cannot be tagged"):
        store.tag_version("tagged", 2, {"new": "3"})


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


def test_runs_are_listed_newest_first(store_uri: str) -> None:
    for name in ("old", "new"):
        with Tracker.open("listing", name, tracking_uri=store_uri):
            time.sleep(0.002)
    store = Store.open(store_uri)
    assert [run.name for run in store.list_runs("listing")] == ["new", "old"]
    assert len(store.list_runs("listing", max_runs=1)) == 1
    with pytest.raises(TrackingError, match="listing"):
        store.list_runs("missing")


def test_a_run_answers_to_the_beginning_of_its_id(tracker: Tracker) -> None:
    assert tracker.store.get_run(tracker.run_id[:12]).id == tracker.run_id
    with pytest.raises(TrackingError, match="no runs"):
        tracker.store.get_run("zzzz")


def test_provenance_becomes_tags(tracker: Tracker) -> None:
    with tracker:
        tracker.set_tags(describe_provenance(seed=7))
    tags = tracker.store.get_run(tracker.run_id).tags
    assert tags["seed"] == "7"
    assert tags["version.mlflow"].startswith("3.")


def test_a_checkout_tells_its_commit_and_another_folder_none(tmp_path: Path) -> None:
    assert "git.commit" not in describe_provenance(seed=0, folder=tmp_path)
    git = ["/usr/bin/env", "git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], cwd=tmp_path, check=True)
    assert describe_provenance(seed=0, folder=tmp_path)["git.dirty"] == "false"
    (tmp_path / "b").touch()
    tags = describe_provenance(seed=0, folder=tmp_path)
    assert len(tags["git.commit"]) == 40
    assert tags["git.dirty"] == "true"


def check_registry(tracking_uri: str, bundle: Path, tmp_path: Path) -> None:
    for auroc in (0.8, 0.9):
        with Tracker.open("registry", f"auroc {auroc}", tracking_uri=tracking_uri) as tracker:
            tracker.log_metrics({"test/auroc": auroc, "test/auroc_low": 0.7, "train/loss": 0.1})
            tracker.log_folder(bundle, "bundle")
            record = tracker.register("still", "bundle", tags={"digest": "abc", "families": 12})
            assert record.aliases == ("challenger",)
            assert record.tags == {"digest": "abc", "families": "12"}
    store = tracker.store
    assert [one.version for one in store.list_versions("still")] == [2, 1]

    def promote(version: int) -> Promotion:
        return hand_over(store, find_candidacy(store, "still", version))

    first = promote(1)
    assert (first.previous, first.figures, first.previous_figures) == (None, {"auroc": 0.8}, {})
    second = promote(2)
    assert (second.previous, second.figures, second.previous_figures) == (1, {"auroc": 0.9}, {"auroc": 0.8})
    new, old = store.list_versions("still")
    assert (new.aliases, old.aliases) == (("challenger", "champion"), ())
    assert new.tags["champion.before"] == "1"
    assert json.loads(new.tags["champion.figures"]) == {"auroc": 0.9}
    assert old.tags["champion.until"] == new.tags["champion.since"]

    promote(1)
    assert "champion.until" not in store.list_versions("still")[1].tags
    with pytest.raises(TrackingError, match="already"):
        promote(1)
    with pytest.raises(TrackingError, match="2, 1"):
        promote(3)

    for address in ("models:/still@champion", "models:/still/2"):
        folder = store.download_bundle(address, tmp_path / address.replace("/", "-"))
        assert files_below(folder) == files_below(bundle)
    with pytest.raises(TrackingError, match="holds files"):
        store.download_bundle("models:/still@champion", folder)
    with pytest.raises(TrackingError, match="models:/NAME@ALIAS"):
        store.download_bundle("models:/still@nobody", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_bundle_is_registered_promoted_and_fetched_back(store_uri: str, bundle: Path, tmp_path: Path) -> None:
    check_registry(store_uri, bundle, tmp_path)


def test_a_folder_that_the_run_does_not_keep_is_not_registered(tracker: Tracker) -> None:
    with tracker, pytest.raises(TrackingError, match="log_folder comes first"):
        tracker.register("nothing", "bundle")
    assert all(one.name != "nothing" for one in tracker.store.list_versions())


@pytest.mark.slow
def test_the_default_store_lies_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with Tracker.open("quiet", "a run") as tracker:
        tracker.log_text("a", "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert (tmp_path / "runs" / "mlflow.db").is_file()
    assert len(list((tmp_path / "runs" / "artifacts").rglob("a.txt"))) == 1
    assert tracker.page is None
    assert capfd.readouterr() == ("", "")


def test_the_environment_names_the_store(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    assert Store.open().uri == store_uri


def test_an_unreachable_server_is_told_at_once_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(TrackingError, match="no answer; start it, or set MLFLOW_TRACKING_URI") as caught:
        Store.open(f"http://someone:secret@127.0.0.1:{port}")
    assert time.monotonic() - begun < 10
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_file_that_is_no_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    begun = time.monotonic()
    with pytest.raises(TrackingError, match="DatabaseError"):
        Store.open(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert time.monotonic() - begun < 5


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="sqlite:///FILE"):
        Store.open((tmp_path / "mlruns").as_uri())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "kept"),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, *places], cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def wait_for(port: int, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.3)
        finally:
            connection.close()
    pytest.fail(f"no server within {timeout_s} s")


@pytest.mark.slow
def test_a_server_is_used_in_the_same_way(server: str, bundle: Path, tmp_path: Path) -> None:
    check_registry(server, bundle, tmp_path)


@pytest.mark.slow
def test_the_environment_alone_points_a_run_to_a_server(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.chdir(tmp_path)
    with Tracker.open("served", "a run") as tracker:
        tracker.log_params({"seed": 1})
        tracker.log_metrics({"train/loss": 0.5}, step=3)
        tracker.log_dataset("generated", "0" * 64, {"benign": 1}, "train")
        tracker.log_figure(Figure(), "plots/empty.png")
    assert tracker.page is not None
    assert tracker.page.startswith(server)
    assert list(tmp_path.iterdir()) == []
    assert tracker.store.get_run(tracker.run_id).status == "FINISHED"
    assert capfd.readouterr() == ("", "")

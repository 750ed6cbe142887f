"""What a store tells back, where it lies, and how a place that is none is refused."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from stillwatch.data.errors import TrackingError
from stillwatch.train.tracking import Store, Tracker


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

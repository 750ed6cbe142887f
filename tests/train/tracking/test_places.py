"""A bundle is registered, promoted and fetched back in a SQLite file and in a real server on loopback alike."""

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
from stillwatch.train.tracking import Tracker


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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

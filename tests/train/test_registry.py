"""`stillwatch runs`, run as a command against a real SQLite store."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from stillwatch.train.commands import runs
from stillwatch.train.tracking import Tracker


@pytest.fixture(scope="module")
def tracked(store_uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "bundle.json").write_text("{}\n")
    with Tracker.open("demo", "a run", tracking_uri=store_uri) as tracker:
        tracker.log_params({"fit": {"epochs": 3}})
        tracker.log_metrics({"test/auroc": 0.9123456, "test/tpr_at_fpr_0.01": 0.5})
        tracker.log_folder(folder, "bundle")
        tracker.register("demo", "bundle")
    return tracker.run_id


@pytest.fixture(autouse=True)
def store(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)


def test_runs_are_listed_with_their_test_figures(tracked: str) -> None:
    shown = CliRunner().invoke(runs, ["list", "--experiment", "demo"], catch_exceptions=False).output
    assert tracked[:8] in shown
    assert "0.9123" in shown
    (run,) = json.loads(
        CliRunner().invoke(runs, ["list", "--experiment", "demo", "--json"], catch_exceptions=False).output
    )
    assert (run["id"], run["experiment"], run["status"]) == (tracked, "demo", "FINISHED")


def test_a_run_is_shown_whole(tracked: str) -> None:
    shown = CliRunner().invoke(runs, ["show", tracked[:10]], catch_exceptions=False).output
    assert "fit.epochs  3" in shown
    assert "test/auroc  0.912346" in shown
    whole = json.loads(CliRunner().invoke(runs, ["show", tracked, "--json"], catch_exceptions=False).output)
    assert whole["params"] == {"fit.epochs": "3"}


def test_the_command_for_the_page_names_the_store(store_uri: str) -> None:
    shown = CliRunner().invoke(runs, ["ui", "--port", "5055"], catch_exceptions=False).stdout
    assert shown.rstrip().endswith(f"-m mlflow server --backend-store-uri {store_uri} --port 5055")
    assert "MLFLOW_DISABLE_TELEMETRY=true" in shown


@pytest.mark.usefixtures("tracked")
def test_versions_are_listed_with_their_aliases() -> None:
    shown = CliRunner().invoke(runs, ["versions", "demo"], catch_exceptions=False).output
    assert "challenger" in shown
    (version,) = json.loads(CliRunner().invoke(runs, ["versions", "demo", "--json"], catch_exceptions=False).output)
    assert (version["version"], version["aliases"], version["uri"]) == (1, ["challenger"], "models:/demo/1")


def test_commands_are_known_without_mlflow() -> None:
    modules = ("train.registry", "train.suites.comparing", "train.suites.promoting")
    script = f"import sys, {', '.join(f'stillwatch.{each}' for each in modules)}; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)

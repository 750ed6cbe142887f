"""A registered bundle is a model of MLflow: loaded by its address, served by its command, with the scorer's logits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import mlflow.artifacts
import mlflow.pyfunc
import pyarrow as pa
import pytest

from stillwatch.model.bundle import Bundle, load_bundle
from stillwatch.model.mlmodel import MLMODEL, OUTPUT_COLUMNS, REGISTERED_META
from stillwatch.model.scorer import Scorer
from stillwatch.train.tracking import Store, Tracker

pytestmark = pytest.mark.slow

WAIT_S = 300.0
TEXTS = [
    json.dumps({"messages": [{"role": "user", "content": content}]}, indent=1)
    for content in ("hello", "reasoning " * 40, "hello reasoning")
]
BROKEN = '{"messages": "zanzibar'


@pytest.fixture(scope="module")
def store(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store on SQLite whose `stillwatch@challenger` is the tiny bundle."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    with Tracker.open("pyfunc", "run", tracking_uri=uri) as tracker:
        tracker.log_folder(tiny_bundle.folder, "bundle")
        tracker.register("stillwatch", "bundle")
        return tracker.store


@pytest.fixture(scope="module")
def logits(tiny_bundle: Bundle) -> list[float]:
    """What the scorer itself says."""
    scorer = Scorer.load(tiny_bundle.folder)
    return [scorer.score(json.loads(text)).logit for text in TEXTS]


def test_a_registered_version_predicts_on_a_table_and_a_broken_row_is_told_in_its_place(
    store: Store, logits: list[float], tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    model = mlflow.pyfunc.load_model("models:/stillwatch@challenger")
    table = pa.table({"request": [*TEXTS, BROKEN]}).to_pandas()
    table.index = [7, 5, 3, 1]
    told = model.predict(table)
    assert list(told.columns) == list(OUTPUT_COLUMNS)
    assert list(told.index) == [7, 5, 3, 1]
    assert list(told.logit[:3]) == logits
    assert list(told.action) == ["allow", "flag", "allow", "review"]
    assert told.reasons[5].split()[0] == "extraction_at_or_above_flag"
    assert set(told.model_version) == {tiny_bundle.version}
    assert (told.probability[1], told.technique[1]) == (None, "")  # Spark would write a None among texts as nan
    assert "no JSON" in told.error[1]
    assert "zanzibar" not in told.to_json()
    # What MLflow's own client fetches has a file of MLflow's in it, and is a bundle all the same.
    fetched = Path(mlflow.artifacts.download_artifacts("models:/stillwatch@challenger", dst_path=str(tmp_path)))
    assert (fetched / REGISTERED_META).is_file()
    assert load_bundle(fetched).version == tiny_bundle.version
    assert load_bundle(store.download_bundle("models:/stillwatch@challenger", tmp_path / "ours")) == replace(
        tiny_bundle, folder=tmp_path / "ours"
    )


def test_nothing_of_mlflow_or_pandas_is_loaded_by_what_it_calls(tiny_bundle: Bundle) -> None:
    told = json.loads((tiny_bundle.folder / MLMODEL).read_text())
    module = told["flavors"]["python_function"]["loader_module"]
    program = f"""
import sys, {module} as loader
print(loader._load_pyfunc(sys.argv[1]).score_rows(['{{"messages": [{{"role": "user", "content": "hello"}}]}}', 3]))
assert not {{"mlflow", "pandas", "torch", "yaml"}} & set(sys.modules)
"""
    command = [sys.executable, "-c", program, str(tiny_bundle.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'error': ''" in done.stdout
    assert "request: a number; send the JSON text" in done.stdout


def test_models_serve_answers_with_the_same_logits(store: Store, logits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/stillwatch@challenger"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    server = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, server)
        body = {"dataframe_split": {"columns": ["request"], "data": [[text] for text in [*TEXTS, BROKEN]]}}
        reply = httpx2.post(f"{url}/invocations", json=body, timeout=WAIT_S)
        assert reply.status_code == 200, reply.text
        rows: list[dict[str, Any]] = reply.json()["predictions"]
        assert [row["logit"] for row in rows] == [*logits, None]
        assert [row["action"] for row in rows] == ["allow", "flag", "allow", "review"]
        assert "zanzibar" not in reply.text
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(WAIT_S)


def wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    ends_s = time.monotonic() + WAIT_S
    while time.monotonic() < ends_s:
        assert server.poll() is None
        try:
            if httpx2.get(f"{url}/ping", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    raise AssertionError("the server did not come up")

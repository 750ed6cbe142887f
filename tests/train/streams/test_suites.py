"""A whole suite on a tiny pool: model, worlds, thresholds, figures; and the bundle that comes out of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import ConfigError, InputError
from stillwatch.data.streams.pool import Pool
from stillwatch.data.streams.simulator import merge_streams
from stillwatch.model.bundle import Bundle, load_bundle
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.train.streams import running, training
from stillwatch.train.streams.commands import calibrate, campaigns
from stillwatch.train.streams.corpus import Member
from stillwatch.train.streams.evaluation import StreamEvaluation
from stillwatch.train.streams.rotations import deal_rotations
from stillwatch.train.streams.running import load_stream_suite, run_stream_suite
from stillwatch.train.streams.settings import StreamsConfig
from stillwatch.train.streams.worlds import make_drawn_campaigns, make_honest

SMALL: dict[str, Any] = {
    "pool": {"per_class": 2, "folder": None},
    "request": {"per_rotation": False},
    "world": {
        "honest_accounts": 24,
        "drawn_accounts": 8,
        "drawn_manners": 2,
        "campaigns": 6,
        "most_accounts": 2,
        "requests": 20,
    },
    "network": {"width": 16, "num_heads": 2, "epochs": 2, "batch_size": 16},
    "calibration": {"accounts": 40, "account_fpr": 0.05, "horizon": 30},
    "num_threads": 1,
    "tracking": {"experiment": "streams", "register_as": None},
}


@pytest.fixture(autouse=True)
def _small_texts(small_pool: Pool, monkeypatch: pytest.MonkeyPatch, store_uri: str) -> None:
    """The tiny pool instead of the generator's, which takes seconds to open."""
    for module in (running, training):
        monkeypatch.setattr(module, "load_pool", lambda config, seed: small_pool)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)


def write_suite(folder: Path, text: str) -> Path:
    (folder / "model.yaml").write_text(json.dumps(SMALL), "utf-8")
    path = folder / "suite.yaml"
    path.write_text(text.replace("MODEL", str(folder / "model.yaml")), "utf-8")
    return path


def write_log(path: Path, members: list[Member]) -> None:
    """The first ten requests of each account, in time order."""
    rows = merge_streams((member.stream for member in members), 10)
    path.write_text("".join(json.dumps(dump_labelled(row)) + "\n" for row in rows), "utf-8")


def run(path: Path, bundle: Bundle) -> StreamEvaluation:
    suite = load_stream_suite(path)
    return run_stream_suite(suite, folder=path.parent, console=Console(quiet=True), bundle=bundle.folder)


def test_the_shipped_suites_can_be_read(repository: Path) -> None:
    for name in ("streams", "campaigns"):
        suite = load_stream_suite(repository / "configs" / "suites" / f"{name}.yaml")
        assert (suite.name, suite.rotations) == (name, (0, 1, 2))


def test_an_unknown_key_of_a_suite_is_refused(tmp_path: Path) -> None:
    path = write_suite(tmp_path, "{kind: streams, name: s, title: t, cases: [{name: a, operator: pure, who: me}]}")
    with pytest.raises(ConfigError, match=r"cases\.0\.who: unknown key"):
        load_stream_suite(path)


@pytest.mark.slow
def test_a_suite_of_accounts_tells_figures_with_intervals_for_us_and_every_baseline(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = write_suite(
        tmp_path,
        """
        {kind: streams, name: tiny, title: t, model: MODEL, rotations: [0], rates: [0.05, 0.1], horizon: 100,
         recalibrations: 2, honest: {calibration: 100, fresh: 100, moved: 20, evaluators: 0},
         baselines: {calibration: 100, fresh: 100, fitted_on: 20},
         cases: [{name: pure, operator: pure, campaigns: 2, accounts_each: 1},
                 {name: mixed-25, operator: mixed-25, campaigns: 2, accounts_each: 1},
                 {name: stream-only, operator: pure, visibilities: [stream]}]}
        """,
    )
    evaluation = run(path, tiny_bundle)
    evaluation.write(tmp_path / "out.json")
    result = json.loads((tmp_path / "out.json").read_text("utf-8"))
    for system in (result, *result["baselines"].values()):
        assert system["account_fpr"]["num_accounts"] == 100
        for case in (system["pure"], system["mixed"]["25"]):
            assert list(case["flagged_by"]) == ["10", "25", "50", "100"]
            assert all(each["low"] <= each["value"] <= each["high"] for each in case["flagged_by"].values())
    assert "mmd-100" in result["baselines"]
    assert "stream-only" not in result["cases"]  # the tiny pool holds no such family
    assert [check["promised"] for check in result["promises"]] == [0.05, 0.1]
    assert set(result["ablations"]) >= {"content", "others", "pace"}
    (rotation,) = result["conditions"]["rotations"]
    assert rotation["accounts_of_drawn_users"] == SMALL["world"]["drawn_accounts"]
    assert any("learnt from tested families" in note for note in result["notes"])
    evaluation.print(Console(quiet=True))


@pytest.mark.slow
def test_a_suite_of_campaigns_tells_what_leaked_with_and_without_counts_over_accounts(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = write_suite(
        tmp_path,
        """
        {kind: campaigns, name: tiny, title: t, model: MODEL, rotations: [0], rates: [0.05], horizon: 100,
         requests: 20, honest: {calibration: 100},
         shapes: [{name: relay, scale: 0.002, campaigns: 1}, {name: spread, campaigns: 1, most_accounts: 5}]}
        """,
    )
    result = run(path, tiny_bundle).to_json()["campaigns"]
    assert isinstance(result, dict)
    assert set(result) == {"relay", "spread"}
    for shape in result.values():
        assert 0 < shape["leaked"]["value"] <= 1
        assert 0 < shape["leaked_without_other_accounts"]["value"] <= 1


@pytest.mark.slow
def test_a_trained_bundle_follows_calibrates_and_groups(tiny_bundle: Bundle, small_pool: Pool, tmp_path: Path) -> None:
    config = StreamsConfig.model_validate(SMALL)
    outcome = training.train_streams(
        config, bundle=tiny_bundle.folder, folder=tmp_path, out=tmp_path / "out", console=Console(quiet=True)
    )
    model = StreamDetector.load(outcome.bundle.folder).model
    assert model.calibration.flag_promise.num_accounts == 40
    assert load_bundle(tmp_path / "out").has_stream_model
    Scorer.load(tmp_path / "out")

    names = deal_rotations(config, small_pool)[0].personas["test"]
    honest = make_honest(small_pool, names, num_accounts=25, seed=5)
    log = tmp_path / "benign.jsonl"
    write_log(log, honest)
    arguments = ["--benign", str(log), "--horizon", "10", "--bundle", str(tmp_path / "out")]
    out = tmp_path / "calibrated"
    done = CliRunner().invoke(calibrate, [*arguments, "--max-account-fpr", "0.05", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "calibrated on 25 honest accounts" in done.output
    promise = StreamDetector.load(out).model.calibration.flag_promise
    assert (promise.num_accounts, promise.horizon_requests, promise.account_fpr) == (25, 10, 0.05)
    refused = CliRunner().invoke(calibrate, [*arguments, "--max-account-fpr", "0.001"])
    assert isinstance(refused.exception, InputError)
    assert "999" in str(refused.exception)

    members = make_drawn_campaigns(small_pool, names, num_campaigns=1, most_accounts=3, num_requests=10, seed=3)
    log.write_text(
        "".join(json.dumps(dump_labelled(row)) + "\n" for row in merge_streams((m.stream for m in members), 10)),
        "utf-8",
    )
    scored = tmp_path / "scored.jsonl"
    found = CliRunner().invoke(campaigns, [str(log), "--bundle", str(out), "--scored", str(scored), "--json"])
    assert found.exit_code == 0, found.output
    assert all("reasoning reasoning" not in line for line in scored.read_text("utf-8").splitlines())

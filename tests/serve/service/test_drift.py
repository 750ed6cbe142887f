"""Drift shows when scores or techniques jump, and stays low while nothing changes; against which past is told.

Against the sliding past a jump fades as it becomes past; against an operator's own honest logs it stays.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from stillwatch.data.configuration import parse_config
from stillwatch.data.labels import TECHNIQUES, Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import CALIBRATION, DEFAULT_BUNDLE, Bundle, load_bundle, seal_bundle
from stillwatch.model.reference import LEAST_REFERENCE_REQUESTS, PROBABILITY_EDGES, TrafficReference, TrafficTally
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.drift import LATE_REQUESTS, LEAST_REQUESTS, DriftMeter, choose_reference
from stillwatch.serve.service.running import watch_bundle
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.settings import ServeConfig


@pytest.fixture(scope="module")
def verdict(tiny_bundle: Bundle) -> Verdict:
    return Scorer.load(tiny_bundle.folder).score(Request((Message(Role.USER, "hello"),)))


def feed(meter: DriftMeter, verdict: Verdict, count: int, *, high: float, technique: int = 0) -> None:
    rng = Random(5)
    names = list(verdict.techniques)
    for _ in range(count):
        chosen = rng.choice((technique, 4))
        techniques = {name: float(number == chosen) for number, name in enumerate(names)}
        meter.add(replace(verdict, probability=rng.random() * high, techniques=techniques))


def make_reference(num_requests: int = 5_000, *, high: float = 0.2, source: str = "calibrate") -> TrafficReference:
    """Of the traffic that `feed` makes."""
    rng, tally = Random(9), TrafficTally()
    for _ in range(num_requests):
        chosen = rng.choice((0, 4))
        tally.add(rng.random() * high, [float(number == chosen) for number in range(len(TECHNIQUES))])
    reference = tally.build_reference("calibrate" if source == "calibrate" else "training")
    assert reference is not None
    return reference


def test_nothing_is_said_before_there_is_a_past(verdict: Verdict) -> None:
    meter = DriftMeter(verdict.model_version)
    feed(meter, verdict, LEAST_REQUESTS - 1, high=1.0)
    assert math.isnan(meter.measure().score)
    feed(meter, verdict, 1, high=1.0)
    assert meter.measure().score < 0.1


def test_a_jump_of_scores_shows_apart_from_one_of_techniques_and_fades(verdict: Verdict) -> None:
    meter = DriftMeter(verdict.model_version)
    feed(meter, verdict, 10_000, high=0.2)
    calm = meter.measure()
    assert max(calm.score, calm.techniques) < 0.05
    feed(meter, verdict, 1_000, high=0.9)
    jumped = meter.measure()
    assert jumped.score > 0.25
    assert jumped.techniques < 0.05
    feed(meter, verdict, 1_000, high=0.9, technique=2)
    assert meter.measure().techniques > 0.25
    feed(meter, verdict, 40_000, high=0.9, technique=2)
    assert max(meter.measure().score, meter.measure().techniques) < 0.25


def test_verdicts_of_another_bundle_do_not_count(verdict: Verdict) -> None:
    meter = DriftMeter(verdict.model_version)
    feed(meter, verdict, 3, high=1.0)
    meter.add(replace(verdict, model_version="another"))
    assert meter.measure().num_requests == 3


def test_against_own_logs_a_change_shows_at_once_and_for_as_long_as_it_lasts(verdict: Verdict) -> None:
    meter = DriftMeter(verdict.model_version, make_reference())
    feed(meter, verdict, LATE_REQUESTS - 1, high=0.2)
    assert math.isnan(meter.measure().score)
    feed(meter, verdict, 1, high=0.2)
    calm = meter.measure()
    assert max(calm.score, calm.techniques) < 0.05
    feed(meter, verdict, 40_000, high=0.9, technique=2)
    assert min(meter.measure().score, meter.measure().techniques) > 0.25
    changed = DriftMeter(verdict.model_version, make_reference())
    feed(changed, verdict, LATE_REQUESTS, high=0.9)  # another traffic from the beginning
    assert changed.measure().score > 0.25
    assert changed.measure().techniques < 0.05


def test_a_reference_is_taken_only_from_own_logs_large_enough_and_of_these_bins() -> None:
    own = make_reference()
    other_bins = own.model_copy(update={"edges": (0.005, *PROBABILITY_EDGES[1:])})
    assert choose_reference(own) is own
    refused = (None, make_reference(source="training"), make_reference(LEAST_REFERENCE_REQUESTS - 1), other_bins)
    assert [choose_reference(each) for each in refused] == [None] * 4


def copy_with(bundle: Bundle, folder: Path, reference: TrafficReference) -> Bundle:
    shutil.copytree(bundle.folder, folder)
    calibration = bundle.calibration.model_copy(update={"reference": reference})
    (folder / CALIBRATION).write_text(calibration.model_dump_json())
    return seal_bundle(folder, bundle.manifest)


def test_metrics_and_log_tell_which_reference_is_used(
    tiny_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    own = copy_with(tiny_bundle, tmp_path / "own", make_reference())
    link = tmp_path / "link"
    link.symlink_to(tiny_bundle.folder)
    service = build_service(parse_config(ServeConfig, {"bundle": link}, "settings", []))
    assert 'stillwatch_drift_requests{reference="sliding"} 0.0' in service.metrics.render().decode()
    link.unlink()
    link.symlink_to(own.folder)
    assert watch_bundle(service).take() is not None
    told = service.metrics.render().decode()
    service.close()
    assert 'stillwatch_drift_score{reference="calibrated"} NaN' in told
    assert 'reference="sliding"' not in told
    events = [vars(record)["facts"] for record in caplog.records if record.msg == "drift_reference"]
    assert [(event["kind"], event["num_requests"]) for event in events] == [("sliding", 0), ("calibrated", 5_000)]


def test_the_shipped_bundle_has_none_and_is_told_against_the_past() -> None:
    assert choose_reference(load_bundle(DEFAULT_BUNDLE).calibration.reference) is None


@pytest.mark.slow
def test_calibrate_leaves_a_reference_that_a_service_takes(stream_bundle: Bundle, tmp_path: Path) -> None:
    from stillwatch.train.streams.commands import calibrate

    rng, log = Random(3), tmp_path / "log.jsonl"
    with log.open("w") as file:
        for number in range(1_200):
            words = " ".join(rng.choice(("hello", "reasoning", "order")) for _ in range(20))
            row = {"account": f"account-{number % 40}", "time_s": 1e9 + number}
            file.write(json.dumps(row | {"messages": [{"role": "user", "content": words}]}) + "\n")
    out = tmp_path / "calibrated"
    options = ["--benign", str(log), "--bundle", str(stream_bundle.folder), "--out", str(out)]
    done = CliRunner().invoke(calibrate, [*options, "--max-account-fpr", "0.1", "--horizon", "30"])
    assert done.exit_code == 0, done.output
    reference = load_bundle(out).calibration.reference
    assert reference is not None
    assert (reference.source, reference.num_requests) == ("calibrate", 1_200)
    assert choose_reference(reference) is reference
    scorer = Scorer.load(out)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    meter = DriftMeter(scorer.bundle.version, reference)
    for verdict in scorer.score_many([{"messages": row["messages"]} for row in rows]):
        meter.add(verdict)
    assert max(meter.measure().score, meter.measure().techniques) < 0.01
    before, after = (json.loads((folder / CALIBRATION).read_text()) for folder in (stream_bundle.folder, out))
    assert before | {"reference": None} == after | {"reference": None}

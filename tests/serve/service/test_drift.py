"""Drift shows when scores or techniques jump, stays low while nothing changes, and fades as the jump becomes past."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest

from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import Bundle
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.drift import LEAST_REQUESTS, DriftMeter


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


def test_nothing_is_said_before_there_is_a_past(verdict: Verdict) -> None:
    meter = DriftMeter()
    feed(meter, verdict, LEAST_REQUESTS - 1, high=1.0)
    assert math.isnan(meter.measure().score)
    feed(meter, verdict, 1, high=1.0)
    assert meter.measure().score < 0.1


def test_a_jump_of_scores_shows_apart_from_one_of_techniques_and_fades(verdict: Verdict) -> None:
    meter = DriftMeter()
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


def test_another_bundle_begins_afresh(verdict: Verdict) -> None:
    meter = DriftMeter()
    feed(meter, verdict, LEAST_REQUESTS, high=1.0)
    meter.add(replace(verdict, model_version="another"))
    assert meter.measure().num_requests == 1

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.data.errors import InputError
from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.sequential import (
    Bets,
    CusumDetector,
    EProcessDetector,
    ville_threshold,
)

Make = Callable[..., StreamArrays]


@pytest.fixture(scope="module")
def honest(make_stream: Make) -> list[StreamArrays]:
    rng = np.random.default_rng(0)
    return [make_stream(logits=rng.normal(size=200)) for _ in range(100)]


@pytest.fixture(scope="module")
def harvests(make_stream: Make) -> list[StreamArrays]:
    rng = np.random.default_rng(1)
    return [make_stream(logits=rng.normal(size=200) + 2, is_extraction=True) for _ in range(10)]


@pytest.fixture(scope="module", params=[False, True], ids=["power bets", "learnt bets"])
def process(
    request: pytest.FixtureRequest, honest: list[StreamArrays], harvests: list[StreamArrays]
) -> EProcessDetector:
    detector = EProcessDetector(learns_ratio=request.param)
    detector.fit(honest, harvests)
    return detector


@pytest.mark.parametrize("alpha", [0.1, 0.02])
def test_the_e_process_of_independent_requests_keeps_villes_bound(
    process: EProcessDetector, make_stream: Make, alpha: float
) -> None:
    rng = np.random.default_rng(2)
    highest = [process.score_stream(make_stream(logits=rng.normal(size=400))).max() for _ in range(800)]
    flagged = np.mean(np.array(highest) >= ville_threshold(alpha))
    assert flagged < alpha + 3 * np.sqrt(alpha / 800)


def test_a_harvest_after_a_long_honest_past_is_soon_seen(process: EProcessDetector, make_stream: Make) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        logits = np.concatenate([rng.normal(size=500), rng.normal(size=60) + 2])
        seen = process.score_stream(make_stream(logits=logits)) >= ville_threshold(0.001)
        assert not seen[:500].any()
        assert seen[500:].any()


def test_a_part_of_a_stream_is_enough(process: EProcessDetector, make_stream: Make) -> None:
    rng = np.random.default_rng(4)
    streams = [make_stream(logits=rng.normal(size=150) + 2.5 * (rng.random(150) < 0.25)) for _ in range(20)]
    found = [process.score_stream(stream).max() >= ville_threshold(0.001) for stream in streams]
    assert np.mean(found) > 0.8


def test_the_e_value_starts_near_one(process: EProcessDetector, make_stream: Make) -> None:
    assert process.score_stream(make_stream(logits=[0.0]))[0] == pytest.approx(0.0, abs=0.5)


def test_accounts_that_are_not_alike_break_villes_bound_as_the_docstring_says(make_stream: Make) -> None:
    # A tenth of honest accounts score higher throughout: why thresholds come from whole accounts instead.
    rng = np.random.default_rng(5)

    def draw() -> StreamArrays:
        return make_stream(logits=rng.normal(size=300) + 1.5 * (rng.random() < 0.1))

    detector = EProcessDetector()
    detector.fit([draw() for _ in range(200)], None)
    highest = np.array([detector.score_stream(draw()).max() for _ in range(200)])
    assert np.mean(highest >= ville_threshold(0.01)) > 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(50, 3_000), st.integers(0, 100))
def test_no_bet_is_favourable_on_average(num_calibration: int, seed: int) -> None:
    # An honest request's rank among n others is uniform: the mean return over all ranks is at most 1.
    rng = np.random.default_rng(seed)
    calibration = np.sort(rng.normal(size=num_calibration))
    between = np.concatenate([[-np.inf], calibration])
    every_rank = np.nextafter(between, np.inf)
    power = np.exp(Bets(calibration).lay(every_rank))
    assert (power.mean(axis=1) <= 1 + 1e-9).all()


@pytest.mark.parametrize("shift", [-2.0, 0.0, 1.0, 4.0])
def test_no_learnt_bet_is_favourable_on_average(make_stream: Make, shift: float) -> None:
    rng = np.random.default_rng(6)
    stream = make_stream(logits=rng.normal(size=2_000))
    harvest = make_stream(logits=rng.normal(size=300) + shift, is_extraction=True)
    detector = EProcessDetector(learns_ratio=True)
    detector.fit([stream], [harvest])
    ordered = np.sort(stream.logits)
    every_rank = np.nextafter(np.concatenate([[-np.inf], ordered]), np.inf)
    assert detector._bets is not None
    returned = np.exp(detector._bets.lay(every_rank))
    assert (returned.mean(axis=1) <= 1 + 1e-9).all()
    assert (np.diff(returned[:, 1:], axis=1) >= -1e-9).all()  # a higher logit never returns less


def test_an_empty_account_has_no_e_value(process: EProcessDetector, make_stream: Make) -> None:
    assert process.score_stream(make_stream(logits=[])).shape == (0,)


def test_learnt_bets_refuse_to_be_learnt_from_nothing(honest: list[StreamArrays]) -> None:
    for extraction in (None, [], honest[:1]):
        with pytest.raises(InputError, match="0 extraction requests; give at least 50"):
            EProcessDetector(learns_ratio=True).fit(honest, extraction)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_villes_threshold_refuses_what_is_no_rate(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha"):
        ville_threshold(alpha)


def test_cusum_is_pages_recursion(honest: list[StreamArrays], make_stream: Make) -> None:
    detector = CusumDetector()
    detector.fit(honest, None)
    logits = np.random.default_rng(7).normal(size=200) + 0.3
    known = np.concatenate([stream.logits for stream in honest])
    level, expected = 0.0, []
    for logit in logits:
        level = max(0.0, level + (logit - known.mean()) / known.std() - 0.5)
        expected.append(level)
    np.testing.assert_allclose(detector.score_stream(make_stream(logits=logits)), expected, atol=1e-9)


def test_cusum_with_extraction_adds_the_logarithm_of_the_likelihood_ratio(
    honest: list[StreamArrays], harvests: list[StreamArrays], make_stream: Make
) -> None:
    detector = CusumDetector()
    detector.fit(honest, harvests)
    # Normal at 0 against normal at 2: the ratio's logarithm is 2 x - 2.
    assert detector.score_stream(make_stream(logits=[3.0, 1.0]))[1] == pytest.approx(4.0, abs=0.3)
    assert detector.score_stream(make_stream(logits=[-5.0] * 50)).tolist() == [0.0] * 50

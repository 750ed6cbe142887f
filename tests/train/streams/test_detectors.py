"""What every detector of streams promises, checked on each of them alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.data.errors import InputError
from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.detector import StreamDetector
from stillwatch.train.streams.baselines.listing import build_baselines

Make = Callable[..., StreamArrays]
NAMES = [detector.name for detector in build_baselines()]
LEARN_NOTHING = {"max-score", "rate", "rate-own-past"}


@pytest.fixture(scope="module")
def honest(make_stream: Make) -> list[StreamArrays]:
    rng = np.random.default_rng(1)
    return [make_stream(embeddings=rng.normal(size=(40, 8)), logits=rng.normal(size=40)) for _ in range(30)]


@pytest.fixture(scope="module")
def harvests(make_stream: Make) -> list[StreamArrays]:
    rng = np.random.default_rng(2)
    return [
        make_stream(embeddings=rng.normal(size=(40, 8)) + 1, logits=rng.normal(size=40) + 2, is_extraction=True)
        for _ in range(5)
    ]


@pytest.fixture(scope="module")
def account(make_stream: Make) -> StreamArrays:
    rng = np.random.default_rng(3)
    times_s = np.cumsum(rng.exponential(300, size=1_600))
    return make_stream(embeddings=rng.normal(size=(1_600, 8)), logits=rng.normal(size=1_600), times_s=times_s)


@pytest.fixture(scope="module", params=range(len(NAMES)), ids=NAMES)
def fitted(request: pytest.FixtureRequest, honest: list[StreamArrays], harvests: list[StreamArrays]) -> StreamDetector:
    detector: StreamDetector = build_baselines(seed=4)[request.param]
    detector.fit(honest, harvests)
    return detector


def test_every_detector_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_there_is_a_statistic_after_each_request_and_never_nan(fitted: StreamDetector, account: StreamArrays) -> None:
    statistic = fitted.score_stream(account)
    assert statistic.shape == (len(account),)
    assert statistic.dtype == np.float64
    assert not np.isnan(statistic).any()
    assert not np.isposinf(statistic).any()


def test_a_detector_speaks_in_the_end_and_is_not_silent_again(fitted: StreamDetector, account: StreamArrays) -> None:
    speaks = np.isfinite(fitted.score_stream(account))
    assert speaks[-1]
    assert speaks[np.argmax(speaks) :].all()


@pytest.mark.parametrize("num_requests", [1, 24, 25, 101, 257, 1_500])
def test_a_statistic_reads_only_the_past(fitted: StreamDetector, account: StreamArrays, num_requests: int) -> None:
    whole = fitted.score_stream(account)[:num_requests]
    np.testing.assert_allclose(fitted.score_stream(account.head(num_requests)), whole, rtol=1e-4, atol=1e-5)


def test_an_account_without_requests_gives_no_statistic(fitted: StreamDetector, account: StreamArrays) -> None:
    assert fitted.score_stream(account.head(0)).shape == (0,)


def test_the_truth_is_not_read_while_scoring(fitted: StreamDetector, account: StreamArrays, make_stream: Make) -> None:
    unmasked = make_stream(
        embeddings=account.embeddings, logits=account.logits, times_s=account.times_s, is_extraction=True
    )
    np.testing.assert_array_equal(fitted.score_stream(unmasked), fitted.score_stream(account))


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_the_same_seed_fits_the_same_detector(
    index: int, honest: list[StreamArrays], harvests: list[StreamArrays], account: StreamArrays
) -> None:
    twins = [build_baselines(seed=7)[index] for _ in range(2)]
    for twin in twins:
        twin.fit(honest, harvests)
    one, other = (twin.score_stream(account.head(300)) for twin in twins)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_a_detector_that_learns_refuses_to_score_before_it_has(index: int, account: StreamArrays) -> None:
    detector = build_baselines()[index]
    if detector.name in LEARN_NOTHING:
        assert detector.score_stream(account.head(3)).shape == (3,)
        return
    with pytest.raises(InputError, match="not fitted"):
        detector.score_stream(account)


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_a_detector_that_learns_refuses_too_little(index: int, account: StreamArrays) -> None:
    detector = build_baselines()[index]
    if detector.name in LEARN_NOTHING:
        detector.fit([], None)
        return
    with pytest.raises(InputError, match="give at least"):
        detector.fit([account.head(0)], None)

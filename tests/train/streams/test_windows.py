from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stillwatch.data.errors import InputError
from stillwatch.data.labels import Label
from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.mmd import MmdDetector
from stillwatch.train.streams.baselines.windows import SHARES, measure_windows, merge_streams, take_requests

Make = Callable[..., StreamArrays]


@pytest.fixture(scope="module")
def honest(make_stream: Make) -> list[StreamArrays]:
    rng = np.random.default_rng(0)
    return [make_stream(embeddings=rng.normal(size=(100, 8))) for _ in range(8)]


@pytest.fixture(scope="module")
def harvest(make_stream: Make) -> StreamArrays:
    rows = np.random.default_rng(1).normal(size=(100, 8)) + 1
    return make_stream(embeddings=rows, is_extraction=True)


def test_the_published_protocol_finds_a_pure_harvest_and_few_honest_windows(
    honest: list[StreamArrays], harvest: StreamArrays
) -> None:
    rates = measure_windows(MmdDetector(50), honest, [harvest], window=50, num_null=100, num_windows=40)
    assert rates.detector == "mmd-50"
    assert tuple(rates.tpr) == SHARES
    assert rates.tpr[1.0].value == 1.0
    assert rates.fpr.value < 0.2  # 5% is promised; 40 windows
    shares = [rates.tpr[share].value for share in SHARES]
    assert shares[0] < shares[2] <= shares[4]


def test_windows_that_cannot_be_filled_are_refused_with_numbers(
    honest: list[StreamArrays], harvest: StreamArrays
) -> None:
    with pytest.raises(InputError, match=r"benign_streams: 400 requests .* at least 500"):
        measure_windows(MmdDetector(500), honest, [harvest], window=500)
    with pytest.raises(InputError, match=r"extraction_streams: 100 requests .* at least 150"):
        measure_windows(MmdDetector(150), honest, [harvest], window=150)


def test_the_honest_requests_of_an_operator_are_not_harvested(honest: list[StreamArrays]) -> None:
    with pytest.raises(InputError, match="extraction_streams: 0 requests"):
        measure_windows(MmdDetector(50), honest, honest[:1], window=50)


def test_merged_accounts_keep_every_request_and_its_truth(honest: list[StreamArrays], harvest: StreamArrays) -> None:
    merged = merge_streams([honest[0], harvest])
    assert len(merged) == 200
    assert merged.label is Label.EXTRACTION
    assert merged.is_extraction.tolist() == [False] * 100 + [True] * 100
    taken = take_requests(merged, np.array([150, 3]))
    assert taken.is_extraction.tolist() == [True, False]
    assert taken.techniques == (harvest.techniques[50], None)
    np.testing.assert_array_equal(taken.embeddings, [harvest.embeddings[50], honest[0].embeddings[3]])


def test_no_account_cannot_be_merged() -> None:
    with pytest.raises(InputError, match="give at least one"):
        merge_streams([])

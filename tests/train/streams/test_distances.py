"""Distances block by block, sums over windows, and fair draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.distances import (
    iter_blocks,
    scale_rows,
    square_distances,
    sum_windows,
)
from stillwatch.train.streams.baselines.drawing import draw_embeddings, draw_logits, draw_requests

Make = Callable[..., StreamArrays]


@pytest.mark.parametrize("reach", [None, 1, 99, 400])
@pytest.mark.parametrize("num_requests", [1, 256, 600])
def test_blocks_hold_every_pair_within_reach_once(num_requests: int, reach: int | None) -> None:
    rows = scale_rows(np.random.default_rng(0).normal(size=(num_requests, 3)).astype(np.float32))
    found = np.full((num_requests, num_requests), np.nan)
    for block in iter_blocks(rows, reach):
        part = found[block.start : block.stop, block.first : block.stop]
        assert np.isnan(part[block.is_earlier]).all()
        part[block.is_earlier] = block.squares[block.is_earlier]
    back = np.arange(num_requests)[:, None] - np.arange(num_requests)[None, :]
    wanted = (back > 0) & (back <= (reach or num_requests))
    np.testing.assert_array_equal(~np.isnan(found), wanted)
    np.testing.assert_allclose(found[wanted], square_distances(rows, rows)[wanted], atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.data())
def test_sums_over_windows_are_those_of_slices(values: list[float], data: st.DataObject) -> None:
    window = data.draw(st.integers(1, len(values)))
    expected = [sum(values[end - window : end]) for end in range(window, len(values) + 1)]
    np.testing.assert_allclose(sum_windows(np.array(values), window), expected, rtol=1e-9, atol=1e-6)


def test_an_embedding_of_length_zero_stays_as_it_is() -> None:
    scaled = scale_rows(np.array([[3, 4], [0, 0]], np.float32))
    np.testing.assert_allclose(scaled, np.array([[0.6, 0.8], [0, 0]], np.float32))


def test_a_busy_account_is_drawn_no_more_often_than_a_quiet_one(make_stream: Make) -> None:
    streams = [make_stream(logits=np.full(num, number)) for number, num in enumerate([10_000, 400, 400, 400, 400])]
    drawn = draw_logits(streams, 500, seed=1)
    counts = np.bincount(drawn.astype(int), minlength=5)
    assert counts.sum() == 500
    assert counts.min() > 70
    assert counts.max() < 140


def test_no_request_is_drawn_twice_and_all_are_drawn_in_the_end(make_stream: Make) -> None:
    streams = [make_stream(logits=np.zeros(num)) for num in (5, 0, 7)]
    owners, places = draw_requests(streams, 100, seed=2)
    assert sorted(zip(owners.tolist(), places.tolist(), strict=True)) == [
        *((0, place) for place in range(5)),
        *((2, place) for place in range(7)),
    ]


def test_drawn_embeddings_are_those_of_the_drawn_requests(make_stream: Make) -> None:
    rng = np.random.default_rng(3)
    streams = [make_stream(embeddings=rng.normal(size=(20, 4))) for _ in range(3)]
    owners, places = draw_requests(streams, 10, seed=4)
    rows = draw_embeddings(streams, 10, seed=4)
    for owner, place, row in zip(owners, places, rows, strict=True):
        np.testing.assert_allclose(row, scale_rows(streams[owner].embeddings)[place])

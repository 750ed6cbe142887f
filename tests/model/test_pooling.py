from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model import network
from stillwatch.model.pooling import pool_windows, softmax

Floats = NDArray[np.float32]
counts = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def draw(num_windows: int, seed: int, scale: float = 8.0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    extraction = rng.normal(0, scale, num_windows).astype(np.float32)
    return extraction, rng.normal(0, 3, (num_windows, len(TECHNIQUES))).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(num_windows=counts, seed=st.integers(0, 10_000))
def test_numpy_and_torch_pool_alike(num_windows: list[int], seed: int) -> None:
    extraction, techniques = draw(sum(num_windows), seed)
    present = torch.tensor([[i < n for i in range(max(num_windows))] for n in num_windows])
    twin = network.pool_windows(torch.from_numpy(extraction), torch.from_numpy(techniques), present).numpy()
    ends = np.cumsum(num_windows)
    for row, end, count in zip(twin, ends, num_windows, strict=True):
        logit, logits = pool_windows(extraction[end - count : end], techniques[end - count : end])
        assert_allclose(row, [logit, *logits], rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 10_000))
def test_one_window_pools_to_itself(seed: int) -> None:
    extraction, techniques = draw(1, seed)
    logit, logits = pool_windows(extraction, techniques)
    assert logit == float(extraction[0])
    assert np.array_equal(logits, techniques[0])


@settings(max_examples=60, deadline=None)
@given(num_windows=st.integers(1, 12), repeats=st.integers(2, 5), seed=st.integers(0, 10_000))
def test_repeating_every_window_changes_nothing(num_windows: int, repeats: int, seed: int) -> None:
    extraction, techniques = draw(num_windows, seed)
    once, once_techniques = pool_windows(extraction, techniques)
    again, again_techniques = pool_windows(np.tile(extraction, repeats), np.tile(techniques, (repeats, 1)))
    assert again == pytest.approx(once, abs=1e-4)
    assert_allclose(again_techniques, once_techniques, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(num_windows=st.integers(2, 40), seed=st.integers(0, 10_000))
def test_the_pooled_logit_lies_between_mean_and_maximum(num_windows: int, seed: int) -> None:
    extraction, techniques = draw(num_windows, seed)
    logit, _ = pool_windows(extraction, techniques)
    assert extraction.mean() - 1e-3 <= logit <= extraction.max() + 1e-3


def test_extreme_logits_do_not_overflow() -> None:
    logit, _ = pool_windows(np.array([1e4, -1e4], np.float32), np.zeros((2, len(TECHNIQUES)), np.float32))
    assert logit == 1e4
    assert softmax(np.array([1e4, -1e4], np.float32)).tolist() == [1.0, 0.0]


def test_a_demand_does_not_drown_in_innocent_windows() -> None:
    extraction = np.array([2.0] + [-2.0] * 60, np.float32)
    logit, _ = pool_windows(extraction, np.zeros((61, 5), np.float32))
    assert logit > 1.9

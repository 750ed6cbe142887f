"""The request vector: its slots, and how finely a state keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.streams.layout import INDEX, ROW_BYTES, SLOTS, WIDTH, decode_rows, encode_row


def test_every_slot_has_a_name_of_its_own_a_range_and_a_meaning() -> None:
    assert len({slot.name for slot in SLOTS}) == WIDTH <= 56
    assert all(slot.low < slot.high and slot.about for slot in SLOTS)
    assert [slot.bits for slot in SLOTS] == sorted((slot.bits for slot in SLOTS), reverse=True)
    assert {f"technique_{technique}" for technique in TECHNIQUES} <= INDEX.keys()


def test_a_row_is_kept_to_within_half_a_step_and_clipped_to_its_range() -> None:
    rng = np.random.default_rng(0)
    low, high = (np.array([getattr(slot, end) for slot in SLOTS]) for end in ("low", "high"))
    half_step = (high - low) / (2.0 ** np.array([slot.bits for slot in SLOTS]) - 1) / 2
    for _ in range(50):
        row = rng.uniform(low - 1, high + 1).astype(np.float32)
        kept = encode_row(row)
        assert kept.shape == (ROW_BYTES,)
        assert np.all(np.abs(decode_rows(kept[None])[0] - np.clip(row, low, high)) <= half_step + 1e-5)


def test_keeping_what_was_kept_changes_nothing() -> None:
    row = np.random.default_rng(1).uniform(-3, 3, WIDTH).astype(np.float32)
    once = encode_row(row)
    assert np.array_equal(encode_row(decode_rows(once[None])[0]), once)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_stays_within_the_range(value: float) -> None:
    row = np.zeros(WIDTH, np.float32)
    row[INDEX["extraction"]] = value
    assert abs(decode_rows(encode_row(row)[None])[0][INDEX["extraction"]]) <= 12

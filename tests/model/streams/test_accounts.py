"""The counter in memory is bounded; what it shares with all counters stands in tests/serve/stores."""

from __future__ import annotations

import pytest

from stillwatch.model.streams.accounts import DAY_S, MemoryAccountCounter

NOW_S = 20_000 * DAY_S


@pytest.mark.parametrize("wrong_s", [NOW_S + 30_000 * DAY_S, 0.0], ids=["future", "past"])
def test_one_wrong_time_neither_empties_nor_freezes_a_count(wrong_s: float) -> None:
    counter = MemoryAccountCounter()
    for number in range(5):
        counter.add([7], f"a{number}", NOW_S)
    counter.add([7], "wrong", wrong_s)
    assert counter.count([7], NOW_S) == pytest.approx([5], abs=1e-3)
    assert counter.add([7], "b", NOW_S + DAY_S) == pytest.approx([6], abs=1e-3)


def test_the_counter_in_memory_keeps_no_more_buckets_than_its_window_and_goes_on_after_all_were_wrong() -> None:
    counter = MemoryAccountCounter(num_buckets=3)
    counter.add([7], "a", NOW_S)
    for day in range(1000, 1010):
        counter.add([7], "wrong", NOW_S + day * DAY_S)
    assert counter.count([7], NOW_S) == [0.0]
    assert [counter.add([7], name, NOW_S)[0] for name in "ab"] == pytest.approx([1, 2], abs=1e-3)


def test_the_counter_in_memory_forgets_the_least_recently_sent() -> None:
    counter = MemoryAccountCounter(max_fingerprints=100)
    counter.add([7], "a", NOW_S)
    for number in range(1000, 1090):
        counter.add([number], "a", NOW_S)
    counter.add([7], "b", NOW_S)
    for number in range(2000, 2090):
        counter.add([number], "a", NOW_S)
    assert len(counter) == 100
    assert counter.count([7, 1000], NOW_S) == pytest.approx([2, 0], abs=1e-3)

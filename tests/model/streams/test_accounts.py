"""The counter in memory is bounded; what it shares with all counters stands in tests/serve/stores."""

from __future__ import annotations

import pytest

from stillwatch.model.streams.accounts import DAY_S, MemoryAccountCounter

NOW_S = 20_000 * DAY_S


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

"""The store in memory is bounded and expires; what it shares with all stores stands in tests/serve/stores."""

from __future__ import annotations

from stillwatch.model.streams.store import MemoryStateStore


def count_up(kept: bytes | None) -> tuple[bytes, int]:
    number = int(kept or b"0") + 1
    return str(number).encode(), number


def test_the_store_in_memory_drops_the_longest_untouched_when_full() -> None:
    store = MemoryStateStore(max_accounts=3)
    for account in ("a", "b", "c", "a", "d"):
        store.change(account, count_up)
    assert len(store) == 3
    assert store.change("a", count_up) == 3
    assert store.change("b", count_up) == 1


def test_the_store_in_memory_drops_what_was_not_touched_for_long() -> None:
    now = 0.0
    store = MemoryStateStore(expire_after_s=100.0, clock=lambda: now)
    store.change("a", count_up)
    store.change("b", count_up)
    now = 99.0
    assert store.change("a", count_up) == 2
    now = 150.0
    assert store.change("c", count_up) == 1
    assert len(store) == 2
    assert store.change("a", count_up) == 3
    assert store.change("b", count_up) == 1

"""Keeping states: every store passes the same list of small checks; the one in memory is bounded and expires."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from stillwatch.model.streams.store import MemoryStateStore, StateStore


def count_up(kept: bytes | None) -> tuple[bytes, int]:
    number = int(kept or b"0") + 1
    return str(number).encode(), number


@pytest.fixture(params=[MemoryStateStore])
def store(request: pytest.FixtureRequest) -> StateStore:
    """Every implementation that needs no server."""
    made: StateStore = request.param()
    return made


def test_a_change_sees_what_the_last_one_left_and_only_its_own_account(store: StateStore) -> None:
    assert [store.change("a", count_up) for _ in range(3)] == [1, 2, 3]
    assert store.change("b", count_up) == 1


def test_a_forgotten_account_starts_anew(store: StateStore) -> None:
    store.change("a", count_up)
    store.forget("a")
    store.forget("never seen")
    assert store.change("a", count_up) == 1


def test_no_change_is_lost_between_threads(store: StateStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.change(f"account {n % 3}", count_up), range(600)))
    assert [store.change(f"account {n}", count_up) for n in range(3)] == [201] * 3


def test_a_change_that_fails_leaves_the_state_as_it_was(store: StateStore) -> None:
    def fail(kept: bytes | None) -> tuple[bytes, int]:
        raise ZeroDivisionError

    store.change("a", count_up)
    with pytest.raises(ZeroDivisionError):
        store.change("a", fail)
    assert store.change("a", count_up) == 2


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

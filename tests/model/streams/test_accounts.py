"""Counting accounts: every counter passes the same list of small checks; the one in memory is bounded, too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from stillwatch.model.streams.accounts import DAY_S, AccountCounter, MemoryAccountCounter, Others, count_others
from stillwatch.model.streams.fingerprint import Fingerprints

NOW_S = 20_000 * DAY_S


@pytest.fixture(params=[MemoryAccountCounter])
def counter(request: pytest.FixtureRequest) -> AccountCounter:
    """Every implementation that needs no server."""
    made: AccountCounter = request.param()
    return made


def test_an_account_counts_once_however_often_it_sends(counter: AccountCounter) -> None:
    for _ in range(5):
        counter.add([1, 2], "a", NOW_S)
    counter.add([2], "b", NOW_S)
    assert counter.count([1, 2, 3], NOW_S) == pytest.approx([1, 2, 0], abs=1e-3)


def test_an_account_counts_once_over_all_days_of_the_window(counter: AccountCounter) -> None:
    for day in range(6):
        counter.add([1], "a", NOW_S + day * DAY_S)
        counter.add([1], f"only on day {day}", NOW_S + day * DAY_S)
    assert counter.count([1], NOW_S + 5 * DAY_S) == pytest.approx([7], abs=0.01)


def test_what_is_older_than_a_week_no_longer_counts(counter: AccountCounter) -> None:
    counter.add([1], "a", NOW_S)
    assert counter.count([1], NOW_S + 6 * DAY_S) == pytest.approx([1], abs=1e-3)
    assert counter.count([1], NOW_S + 7 * DAY_S) == [0]
    counter.add([1], "b", NOW_S + 8 * DAY_S)
    counter.add([1], "too late", NOW_S)
    assert counter.count([1], NOW_S + 8 * DAY_S) == pytest.approx([1], abs=1e-3)


def test_many_accounts_are_counted_within_a_tenth(counter: AccountCounter) -> None:
    for number in range(5000):
        counter.add([1], f"account {number}", NOW_S)
    assert counter.count([1], NOW_S) == pytest.approx([5000], rel=0.1)


def test_threads_lose_nothing(counter: AccountCounter) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: counter.add([n % 4], f"account {n}", NOW_S), range(400)))
    assert counter.count([0, 1, 2, 3], NOW_S) == pytest.approx([100] * 4, rel=0.1)


def test_others_are_all_but_the_sender_and_the_highest_of_each_kind(counter: AccountCounter) -> None:
    sent = Fingerprints(system=(1, 2), instruction=(3,), opening=(5,), tools=(9,))
    assert count_others(counter, sent, "a", NOW_S) == Others()
    counter.add([2, 9], "b", NOW_S)
    counter.add([2, 3], "c", NOW_S)
    found = count_others(counter, sent, "a", NOW_S)
    assert [found.system, found.instruction, found.form, found.opening] == pytest.approx([2, 1, 0, 0], abs=1e-3)


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

"""One contract for every counter of accounts, in memory and on a real Redis; then what only the server must keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stillwatch.model.streams.accounts import DAY_S, MemoryAccountCounter, Others, count_others
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION, Fingerprints
from stillwatch.serve.service.secrecy import KeyedHasher
from stillwatch.serve.stores.counts import LARGE_COUNT, RedisAccountCounter
from stillwatch.serve.stores.link import RedisLink
from stillwatch.serve.stores.states import KEYS_VERSION

NOW_S = 20_000 * DAY_S
NAME = KeyedHasher(b"zanzibar's key").hash_fingerprint

Make = Callable[..., Any]


@pytest.fixture
def make_redis(open_link: Callable[[], RedisLink], prefix: str) -> Make:
    """Makes a counter of its own link to the shared server, as every replica has one."""

    def make(*, remember_s: float = 0.0) -> RedisAccountCounter:
        return RedisAccountCounter(open_link(), prefix=prefix, name_fingerprint=NAME, remember_s=remember_s)

    return make


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
def make_counter(request: pytest.FixtureRequest) -> Make:
    return MemoryAccountCounter if request.param == "memory" else request.getfixturevalue("make_redis")


@pytest.fixture
def counter(make_counter: Make) -> Any:
    return make_counter()


def test_an_account_counts_once_however_often_it_sends(counter: Any) -> None:
    for _ in range(5):
        counter.add([1, 2], "a", NOW_S)
    counter.add([2], "b", NOW_S)
    assert counter.count([1, 2, 3], NOW_S) == pytest.approx([1, 2, 0], abs=1e-3)


def test_adding_tells_the_counts_that_counting_then_tells(counter: Any) -> None:
    assert counter.add([2, 1], "a", NOW_S) == pytest.approx([1, 1], abs=1e-3)
    assert counter.add([1, 3, 1], "b", NOW_S) == pytest.approx([2, 1, 2], abs=1e-3)
    assert counter.count([1, 2, 3, 1], NOW_S) == pytest.approx([2, 1, 1, 2], abs=1e-3)
    assert counter.add([], "c", NOW_S) == counter.count([], NOW_S) == []


def test_the_largest_fingerprint_is_counted(counter: Any) -> None:
    assert counter.add([2**64 - 1, 0], "a", NOW_S) == pytest.approx([1, 1], abs=1e-3)


def test_an_account_counts_once_over_all_days_of_the_window(counter: Any) -> None:
    for day in range(6):
        counter.add([1], "a", NOW_S + day * DAY_S)
        counter.add([1], f"only on day {day}", NOW_S + day * DAY_S)
    assert counter.count([1], NOW_S + 5 * DAY_S) == pytest.approx([7], abs=0.01)


def test_what_is_older_than_a_week_no_longer_counts(counter: Any) -> None:
    counter.add([1], "a", NOW_S)
    assert counter.count([1], NOW_S + 6 * DAY_S) == pytest.approx([1], abs=1e-3)
    assert counter.count([1], NOW_S + 7 * DAY_S) == [0]
    counter.add([1], "b", NOW_S + 8 * DAY_S)
    counter.add([1], "too late", NOW_S)
    assert counter.count([1], NOW_S + 8 * DAY_S) == pytest.approx([1], abs=1e-3)


def test_few_accounts_are_counted_exactly_and_many_within_a_tenth(counter: Any) -> None:
    for number in range(1, 5001):
        counted = counter.add([1], f"account {number}", NOW_S)
        if number <= 8:
            assert counted == pytest.approx([number], abs=1e-3)
        elif number in (50, 300, 1000, 5000):
            assert counted == pytest.approx([number], rel=0.1)


def test_threads_lose_nothing(counter: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: counter.add([n % 4], f"account {n}", NOW_S), range(400)))
    assert counter.count([0, 1, 2, 3], NOW_S) == pytest.approx([100] * 4, rel=0.1)


def test_others_are_all_but_the_sender_and_the_highest_of_each_kind(counter: Any) -> None:
    sent = Fingerprints(system=(1, 2), instruction=(3,), opening=(5,), tools=(9,))
    assert count_others(counter, sent, "a", NOW_S) == Others()
    counter.add([2, 9], "b", NOW_S)
    counter.add([2, 3], "c", NOW_S)
    found = count_others(counter, sent, "a", NOW_S)
    assert [found.system, found.instruction, found.form, found.opening] == pytest.approx([2, 1, 0, 0], abs=1e-3)


@pytest.mark.slow
def test_replicas_count_together(make_redis: Make) -> None:
    first, second = make_redis(), make_redis()
    first.add([1, 2], "a", NOW_S)
    assert second.add([2, 1], "b", NOW_S) == first.count([2, 1], NOW_S) == [2, 2]


@pytest.mark.slow
def test_a_large_count_is_read_anew_only_after_a_while_and_loses_no_account(make_redis: Make) -> None:
    counter, other = make_redis(remember_s=1.0), make_redis()
    for number in range(LARGE_COUNT):
        counter.add([1, 2], f"account {number}", NOW_S)
    (known,) = counter.count([1], NOW_S)
    assert known >= LARGE_COUNT * 0.95
    for number in range(LARGE_COUNT, 4 * LARGE_COUNT):
        counter.add([1, 3], f"account {number}", NOW_S)
    assert other.count([1, 3], NOW_S) == pytest.approx([4 * LARGE_COUNT, 3 * LARGE_COUNT], rel=0.05)
    time.sleep(1.1)
    assert counter.count([1], NOW_S) == pytest.approx([4 * LARGE_COUNT], rel=0.05)


@pytest.mark.slow
def test_what_is_no_sketch_starts_afresh_and_is_counted(make_redis: Make, redis_server: Any, prefix: str) -> None:
    counter = make_redis()
    counter.add([1, 2, 3, 4], "a", NOW_S)
    names = [f"{prefix}:{KEYS_VERSION}:count:{FINGERPRINT_VERSION}:{NAME(each)}:20000" for each in (1, 2, 3)]
    sketch = redis_server.client.get(names[0])
    redis_server.client.set(names[0], b"zanzibar")
    redis_server.client.set(names[1], sketch[:18] + b"\xff" * 9)
    redis_server.client.delete(names[2])
    redis_server.client.lpush(names[2], "a list")
    assert counter.add([1, 2, 3, 4], "b", NOW_S) == [1, 1, 1, 2]
    assert counter.num_dropped == 3
    assert counter.add([1, 2, 3, 4], "a", NOW_S) == [2, 2, 2, 2]
    assert counter.num_dropped == 3


@pytest.mark.slow
def test_every_key_has_the_prefix_and_expires_a_day_after_the_window(
    make_redis: Make, redis_server: Any, prefix: str
) -> None:
    make_redis().add([1, 2], "a", NOW_S)
    keys = list(redis_server.client.scan_iter(f"{prefix}:*:count:*"))
    assert len(keys) == 2
    assert all(8 * DAY_S - 60 < redis_server.client.ttl(key) <= 8 * DAY_S for key in keys)


@pytest.mark.slow
def test_no_account_can_be_read_back_from_the_server_and_no_fingerprint_looked_up(
    make_redis: Make, redis_server: Any
) -> None:
    fingerprints = [0x1234_5678_9ABC_DEF0 + number for number in range(8)]
    make_redis().add(fingerprints, "zanzibar", NOW_S)
    kept = redis_server.read_all()
    assert b"zanzibar" not in kept
    assert not [each for each in fingerprints if f"{each:016x}".encode() in kept]

"""One contract for every store of states, in memory and on a real Redis server; then what only the server must keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stillwatch.data.errors import InputError
from stillwatch.model.streams.state import MAX_STATE_BYTES
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.serve.stores.link import RedisLink
from stillwatch.serve.stores.report import LinkChange
from stillwatch.serve.stores.states import KEYS_VERSION, LAYOUT, RedisStateStore

Make = Callable[..., Any]
Name = Callable[[object], str]


def count_up(kept: bytes | None) -> tuple[bytes, int]:
    number = int(kept or b"0") + 1
    return str(number).encode(), number


@pytest.fixture
def make_redis(open_link: Callable[[], RedisLink], prefix: str) -> Make:
    """Makes a store of its own link to the shared server, as every replica has one."""

    def make(*, expire_after_s: float = 60.0) -> RedisStateStore:
        return RedisStateStore(open_link(), prefix=prefix, expire_after_s=expire_after_s)

    return make


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.slow)])
def make_store(request: pytest.FixtureRequest) -> Make:
    return MemoryStateStore if request.param == "memory" else request.getfixturevalue("make_redis")


def test_a_change_sees_what_the_last_one_left_and_only_its_own_account(make_store: Make, name_account: Name) -> None:
    store = make_store()
    assert [store.change(name_account("a"), count_up) for _ in range(3)] == [1, 2, 3]
    assert store.change(name_account("b"), count_up) == 1


def test_a_forgotten_account_starts_anew(make_store: Make, name_account: Name) -> None:
    store = make_store()
    store.change(name_account("a"), count_up)
    store.forget(name_account("a"))
    store.forget(name_account("never seen"))
    assert store.change(name_account("a"), count_up) == 1


def test_no_change_is_lost_between_threads(make_store: Make, name_account: Name) -> None:
    store = make_store()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.change(name_account(number % 3), count_up), range(600)))
    assert [store.change(name_account(number), count_up) for number in range(3)] == [201] * 3


def test_a_change_that_fails_leaves_the_state_as_it_was(make_store: Make, name_account: Name) -> None:
    def fail(kept: bytes | None) -> tuple[bytes, int]:
        raise ZeroDivisionError

    store = make_store()
    store.change(name_account("a"), count_up)
    with pytest.raises(ZeroDivisionError):
        store.change(name_account("a"), fail)
    assert store.change(name_account("a"), count_up) == 2


def test_a_state_that_was_not_touched_for_long_is_dropped_and_a_touch_keeps_it(
    make_store: Make, name_account: Name
) -> None:
    store = make_store(expire_after_s=1.0)
    store.change(name_account("left"), count_up)
    for number in range(1, 6):
        assert store.change(name_account("touched"), count_up) == number
        time.sleep(0.3)
    assert store.change(name_account("left"), count_up) == 1


def test_any_bytes_up_to_the_bound_are_kept_and_more_are_refused(make_store: Make, name_account: Name) -> None:
    store = make_store()
    largest = bytes(range(256)) * (MAX_STATE_BYTES // 256)
    for state in (b"", b"\x00", largest):
        store.change(name_account("a"), lambda _, state=state: (state, None))
        with pytest.raises(ValueError, match="4097 bytes"):
            store.change(name_account("a"), lambda _: (largest + b"x", None))
        assert store.change(name_account("a"), lambda kept: (b"", kept)) == state


def test_a_state_that_cannot_be_read_is_dropped_and_counted(make_store: Make, name_account: Name) -> None:
    def read_strictly(kept: bytes | None) -> tuple[bytes, int]:
        if kept == b"of another release":
            raise InputError("state", "bytes of another version", "start anew")
        return count_up(kept)

    store = make_store()
    store.change(name_account("a"), lambda _: (b"of another release", None))
    assert [store.change(name_account("a"), read_strictly) for _ in range(3)] == [1, 2, 3]
    assert store.num_dropped == 1


def test_a_change_that_refuses_even_a_new_account_fails(make_store: Make, name_account: Name) -> None:
    def refuse_all(kept: bytes | None) -> tuple[bytes, int]:
        raise InputError("request", "something else", "mend it")

    store = make_store()
    with pytest.raises(InputError, match="something else"):
        store.change(name_account("a"), refuse_all)
    assert store.num_dropped == 0


@pytest.mark.slow
def test_replicas_lose_no_change_of_an_account_that_they_share(make_redis: Make, name_account: Name) -> None:
    replicas = [make_redis() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        changes = pool.map(lambda n: replicas[n % 4].change(name_account("a"), count_up), range(400))
        assert sorted(changes) == list(range(1, 401))
    assert {replica.num_dropped for replica in replicas} == {0}


@pytest.mark.slow
def test_corrupted_bytes_on_the_server_start_afresh_and_are_counted(
    make_redis: Make, redis_server: Any, prefix: str, name_account: Name
) -> None:
    store = make_redis()
    key = f"{prefix}:{KEYS_VERSION}:state:{LAYOUT}:{name_account('a')}"
    store.change(name_account("a"), count_up)
    whole = redis_server.client.get(key)
    bad = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    bad += [whole[:length] for length in range(1, len(whole))] + [whole + b"x", b"1"]
    for number, raw in enumerate(bad, 1):
        redis_server.client.set(key, raw)
        assert store.change(name_account("a"), count_up) == 1
        assert store.num_dropped == number
    assert store.change(name_account("a"), count_up) == 2


@pytest.mark.slow
def test_states_of_another_layout_are_out_of_sight_and_stay(
    make_redis: Make, redis_server: Any, prefix: str, name_account: Name
) -> None:
    other = f"{prefix}:{KEYS_VERSION}:state:0.0.0:{name_account('a')}"
    redis_server.client.set(other, b"of another release")
    store = make_redis()
    assert [store.change(name_account("a"), count_up) for _ in range(2)] == [1, 2]
    assert redis_server.client.get(other) == b"of another release"
    assert store.num_dropped == 0


@pytest.mark.slow
def test_every_key_has_the_prefix_and_expires(
    make_redis: Make, redis_server: Any, prefix: str, name_account: Name
) -> None:
    store = make_redis(expire_after_s=100.0)
    for number in range(5):
        store.change(name_account(number), count_up)
    keys = [key for key in redis_server.client.scan_iter(f"{prefix}:*") if not key.endswith(b":probe")]
    assert len(keys) == 5
    assert all(90_000 < redis_server.client.pttl(key) <= 100_000 for key in keys)
    assert 0 < redis_server.client.pttl(f"{prefix}:probe") <= 10_000


@pytest.mark.slow
def test_a_name_that_is_no_hash_never_reaches_the_server(make_redis: Make, redis_server: Any) -> None:
    store = make_redis()
    for name in ("zanzibar", "org-17/key-4", "", "A" * 32, "0" * 31):
        with pytest.raises(ValueError, match="not a keyed hash"):
            store.change(name, count_up)
    assert b"zanzibar" not in redis_server.read_all()


@pytest.mark.slow
def test_a_full_server_forgets_the_longest_untouched_and_the_others_go_on(
    start_redis: Callable[..., Any], name_account: Name, refuse_change: Callable[[LinkChange], None]
) -> None:
    server = start_redis("--maxmemory", "4mb", "--maxmemory-policy", "volatile-lru", "--maxmemory-samples", "10")
    link = RedisLink(server.url, prefix="full", timeout_s=20.0, report=refuse_change)
    link.start()
    store = RedisStateStore(link, prefix="full", expire_after_s=1000.0)
    large = b"x" * MAX_STATE_BYTES
    for number in range(2000):
        store.change(name_account(number), lambda _: (large, None))
    assert server.client.dbsize() < 1500
    assert store.change(name_account(1999), lambda kept: (large, kept)) == large
    # The server looks at a sample when it evicts: one of the oldest may stay, most do not.
    oldest = [store.change(name_account(number), lambda kept: (large, kept)) for number in range(20)]
    assert oldest.count(None) > 10
    link.close()

"""A server that dies, hangs or refuses costs a few requests a moment each, is told of once, and is found back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stillwatch.data.errors import ConfigError, StoreError
from stillwatch.serve.stores.link import FAILURES_TO_OPEN, RedisLink
from stillwatch.serve.stores.report import LinkChange

WAIT_S = 30.0
TIMEOUT_S = 0.5


@pytest.fixture
def told() -> list[LinkChange]:
    return []


@pytest.fixture
def connect(told: list[LinkChange]) -> Iterator[Callable[[str], RedisLink]]:
    links: list[RedisLink] = []

    def make(url: str) -> RedisLink:
        links.append(RedisLink(url, prefix="link", timeout_s=TIMEOUT_S, report=told.append))
        links[-1].start()
        return links[-1]

    yield make
    for link in links:
        link.close()


Connect = Callable[[str], RedisLink]


def ask(link: RedisLink) -> bool:
    """Whether the server answers."""
    try:
        return bool(link.run(lambda client: client.set("link:asked", b"1")))
    except StoreError:
        return False


def wait_for(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    "url", ["", "zanzibar", "http://zanzibar", "redis://:zanzibar@host:zanzibar/0", "redis://host?zanzibar=1"]
)
def test_an_address_that_is_none_is_refused_without_quoting_it(connect: Connect, url: str) -> None:
    with pytest.raises(ConfigError, match=r"states\.redis: not a URL") as refused:
        connect(url)
    assert "zanzibar" not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.slow
def test_a_server_that_is_not_there_at_the_start_is_found_when_it_comes(
    connect: Connect, start_redis: Callable[..., Any], told: list[LinkChange]
) -> None:
    server = start_redis()
    server.kill()
    link = connect(server.url)
    assert link.is_away
    assert not ask(link)
    assert told == [LinkChange(is_away=True, error="ConnectionError")]
    server.start()
    wait_for(lambda: not link.is_away)
    assert ask(link)
    assert [change.is_away for change in told] == [True, False]
    assert told[1].away_s > 0


@pytest.mark.slow
def test_a_server_that_dies_is_told_of_once_and_found_back_again_and_again(
    connect: Connect, start_redis: Callable[..., Any], told: list[LinkChange]
) -> None:
    server = start_redis()
    link = connect(server.url)
    for number in range(3):
        assert ask(link)
        server.kill()
        answers = [ask(link) for _ in range(200)]
        assert not any(answers)
        assert link.is_away
        server.start()
        wait_for(lambda: not link.is_away)
        assert all(ask(link) for _ in range(50))
        assert [change.is_away for change in told] == [True, False] * (number + 1)


@pytest.mark.slow
def test_a_server_that_hangs_costs_its_timeout_a_few_times_only(
    connect: Connect, start_redis: Callable[..., Any], told: list[LinkChange]
) -> None:
    server = start_redis()
    link = connect(server.url)
    assert ask(link)
    server.freeze()
    started_s = time.monotonic()
    assert not any(ask(link) for _ in range(FAILURES_TO_OPEN))
    assert link.is_away
    assert time.monotonic() - started_s < (FAILURES_TO_OPEN + 1) * TIMEOUT_S
    started_s = time.monotonic()
    assert not any(ask(link) for _ in range(1000))
    assert time.monotonic() - started_s < TIMEOUT_S
    server.thaw()
    wait_for(lambda: not link.is_away)
    assert ask(link)
    assert [(change.is_away, change.error) for change in told] == [(True, "TimeoutError"), (False, None)]


@pytest.mark.slow
def test_a_single_failure_changes_nothing(
    connect: Connect, start_redis: Callable[..., Any], told: list[LinkChange]
) -> None:
    link = connect(start_redis().url)
    for _ in range(2 * FAILURES_TO_OPEN):
        assert ask(link)
        with pytest.raises(StoreError):
            link.run(lambda client: client.lpush("link:asked", "of another type"))
    assert not link.is_away
    assert told == []


@pytest.mark.slow
def test_a_server_that_takes_no_more_writes_counts_as_away_until_it_does(
    connect: Connect, start_redis: Callable[..., Any], told: list[LinkChange]
) -> None:
    server = start_redis("--maxmemory", "100kb", "--maxmemory-policy", "noeviction")
    link = connect(server.url)
    assert link.is_away
    server.client.config_set("maxmemory", "100mb")
    wait_for(lambda: not link.is_away)
    assert ask(link)
    assert [(change.is_away, change.error) for change in told] == [(True, "OutOfMemoryError"), (False, None)]


@pytest.mark.slow
def test_a_wrong_password_counts_as_away_and_is_told_by_its_kind_alone(
    connect: Connect, start_redis: Callable[..., Any], told: list[LinkChange]
) -> None:
    server = start_redis("--requirepass", "right-zanzibar")
    wrong = connect(f"redis://:wrong-zanzibar@127.0.0.1:{server.port}/0")
    assert wrong.is_away
    assert told == [LinkChange(is_away=True, error="AuthenticationError")]
    right = connect(f"redis://:right-zanzibar@127.0.0.1:{server.port}/0")
    assert ask(right)


@pytest.mark.slow
def test_what_the_work_itself_raises_is_passed_on(connect: Connect, start_redis: Callable[..., Any]) -> None:
    link = connect(start_redis().url)
    with pytest.raises(ZeroDivisionError):
        link.run(lambda _: 1 // 0)
    assert ask(link)

"""Two replicas on a real Redis judge a campaign as one process does, and go on without it while it is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import pytest

from stillwatch.model.bundle import Bundle
from stillwatch.serve.service.secrecy import KEY_VARIABLE
from stillwatch.serve.stores.opening import URL_VARIABLE
from tiny_streams import add_stream, build_mean_of_all

pytestmark = pytest.mark.slow

WAIT_S = 120.0
CANARY = "zanzibar"
ACCOUNTS = tuple(f"{CANARY}-account-{number}" for number in range(4))
FORM = (
    f"Write out every step of the {CANARY} reasoning for exercise {{}}, then the answer as one JSON object. reasoning"
)
ON_REDIS = ("states.store=redis", "states.redis.timeout_ms=2000")


class Replica:
    """A service in a process of its own, and every line of its log."""

    def __init__(self, bundle: Path, redis_url: str, *overrides: str) -> None:
        program = "from stillwatch.serve.cli import main; main()"
        settings = (
            f"bundle={bundle}",
            "listen.port=0",
            "listen.drain_delay_s=0",
            "queue.deadline_ms=60000",
            *overrides,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", *(part for each in settings for part in ("--set", each))],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {KEY_VARIABLE: f"{CANARY}-secret-key", URL_VARIABLE: redis_url},
        )
        self.log: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._is_ready = Event()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def wait(self) -> None:
        """Until it is ready."""
        assert self._is_ready.wait(WAIT_S), self.log
        port = next(event["port"] for event in self.log if event["event"] == "listening")
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S)

    def score(self, account: str, number: int) -> Any:
        """The reply to an account's request number so and so, sent a minute after the one before."""
        headers = {"X-Stillwatch-Account": account, "X-Stillwatch-Time": str(1e9 + 60 * number)}
        body = {"messages": [{"role": "user", "content": FORM.format(number)}]}
        reply = self.client.post("/v1/score", json=body, headers=headers)
        self.said.append(reply.text)
        assert reply.status_code == 200
        return reply.json()

    def ask(self, path: str) -> str:
        """What a probe says."""
        reply = self.client.get(path)
        self.said.append(reply.text)
        assert reply.status_code == 200
        return reply.text

    def find_events(self, prefix: str) -> list[str]:
        """Names of the log's events that begin so, in order."""
        return [event["event"] for event in self.log if event["event"].startswith(prefix)]

    def stop(self) -> int:
        """End it gently; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == "ready":
                self._is_ready.set()


Start = Callable[..., Replica]


@pytest.fixture
def start(bundle: Path) -> Iterator[Start]:
    started: list[Replica] = []

    def run(redis_url: str, *overrides: str) -> Replica:
        started.append(Replica(bundle, redis_url, *overrides))
        return started[-1]

    yield run
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a stream model whose logit is the mean, over the requests, of all that is kept of each."""
    folder = tmp_path_factory.mktemp("stream") / "bundle"
    return add_stream(tiny_bundle, folder, build_mean_of_all(), review_logit=14.0, flag_logit=18.0).folder


def judge(reply: dict[str, Any]) -> dict[str, Any]:
    """What of a reply is the verdict."""
    return {name: reply[name] for name in ("action", "enforced", "block", "request", "stream", "degraded")}


def test_a_campaign_over_two_replicas_is_judged_as_by_one_process_and_leaves_no_name(
    start: Start, start_redis: Callable[..., Any]
) -> None:
    server = start_redis()
    server.record_commands()
    replicas = [start(server.url, *ON_REDIS), start(server.url, *ON_REDIS)]
    alone = start("")
    for each in (*replicas, alone):
        each.wait()
    campaign = [(ACCOUNTS[number % 4], number) for number in range(40)]
    # Neither an account nor the campaign keeps to a replica.
    shared = [judge(replicas[number // 4 % 2].score(account, number)) for account, number in campaign]
    expected = [judge(alone.score(account, number)) for account, number in campaign]
    assert shared == expected
    assert {verdict["action"] for verdict in expected} == {"allow", "review", "flag"}
    assert [verdict["stream"]["num_requests"] for verdict in expected[-4:]] == [10] * 4
    assert "skeleton_shared_with_other_accounts" in expected[-1]["stream"]["reasons"]
    for replica in replicas:
        assert "stillwatch_degraded 0.0" in replica.ask("/metrics")
        assert replica.find_events("state_store") == []
    seen = server.read_all()
    assert seen.count(b"EVALSHA") >= 2 * len(campaign)
    assert CANARY.encode() not in seen.lower()


def test_a_server_killed_and_started_again_costs_streams_for_as_long_and_nothing_else(
    start: Start, start_redis: Callable[..., Any]
) -> None:
    server = start_redis("--requirepass", f"{CANARY}-password")
    url = f"redis://:{CANARY}-password@127.0.0.1:{server.port}/0"
    replicas = [start(url, *ON_REDIS), start(url, *ON_REDIS)]
    for each in replicas:
        each.wait()
        assert json.loads(each.ask("/readyz")) == {"status": "ready", "degraded": None}
    before = [replicas[number % 2].score(ACCOUNTS[0], number) for number in range(6)]
    assert [reply["stream"]["num_requests"] for reply in before] == [1, 2, 3, 4, 5, 6]

    server.kill()
    away = [replicas[number % 2].score(ACCOUNTS[0], number) for number in range(6, 46)]
    assert {(reply["degraded"], reply["stream"]) for reply in away} == {("state_store_away", None)}
    assert {reply["request"]["logit"] for reply in away} == {reply["request"]["logit"] for reply in before}
    for each in replicas:
        assert json.loads(each.ask("/readyz")) == {"status": "ready", "degraded": "state_store_away"}
        metrics = each.ask("/metrics")
        assert "stillwatch_degraded 1.0" in metrics
        assert 'stillwatch_degraded_verdicts_total{reason="state_store_away"} 20.0' in metrics
        assert each.find_events("state_store") == ["state_store_away"]

    server.start()
    until_s = time.monotonic() + WAIT_S
    while any(json.loads(each.ask("/readyz"))["degraded"] for each in replicas):
        assert time.monotonic() < until_s
        time.sleep(0.1)
    after = [replicas[number % 2].score(ACCOUNTS[0], number) for number in range(46, 52)]
    assert [reply["stream"]["num_requests"] for reply in after] == [1, 2, 3, 4, 5, 6]  # this server keeps no file
    for each in replicas:
        assert "stillwatch_degraded 0.0" in each.ask("/metrics")
        assert each.find_events("state_store") == ["state_store_away", "state_store_back"]
        assert each.stop() == 0
        assert CANARY not in json.dumps(each.log) + "".join(each.said)


def test_a_service_whose_server_is_not_there_starts_scores_and_says_so(
    start: Start, start_redis: Callable[..., Any]
) -> None:
    server = start_redis()
    server.kill()
    service = start(server.url, *ON_REDIS)
    service.wait()
    assert json.loads(service.ask("/readyz")) == {"status": "ready", "degraded": "state_store_away"}
    assert service.score(ACCOUNTS[0], 0)["degraded"] == "state_store_away"
    assert service.find_events("state_store") == ["state_store_away"]

"""The service follows accounts where the bundle has a stream model: by hashes, each on its own, counted and audited."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from stillwatch.data.configuration import parse_config
from stillwatch.model.bundle import Bundle
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.settings import ServeConfig

HONEST = {"messages": [{"role": "user", "content": "hello hello"}]}


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def client(stream_bundle: Bundle, audit: Path) -> Iterator[TestClient]:
    settings = parse_config(ServeConfig, {"bundle": stream_bundle.folder, "audit": {"file": audit}}, "settings", [])
    service = build_service(settings)
    service.warm_up()
    with TestClient(build_app(service)) as client:
        yield client
    service.close()


def send(client: TestClient, account: str | None, number: int) -> Any:
    body = {"messages": [{"role": "user", "content": f"hello number {number}"}]}
    headers = {"X-Stillwatch-Time": str(1e9 + 60 * number)}
    if account is not None:
        headers["X-Stillwatch-Account"] = account
    return client.post("/v1/score", json=body, headers=headers).json()


def test_honest_looking_requests_of_one_account_add_up_to_a_flag(client: TestClient, audit: Path) -> None:
    replies = [send(client, "harvester", number) for number in range(6)]
    assert [reply["stream"]["num_requests"] for reply in replies] == [1, 2, 3, 4, 5, 6]
    assert [reply["action"] for reply in replies] == ["allow", "review", "review", "flag", "flag", "flag"]
    assert {reply["request"]["action"] for reply in replies} == {"allow"}
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [record["id"] for record in records] == [reply["id"] for reply in replies[1:]]
    assert records[-1]["stream"]["reasons"][0] == "stream_at_or_above_flag"
    assert records[-1]["thresholds"]["stream_flag_logit"] == 4.0
    assert len({record["account_hash"] for record in records}) == 1
    assert "harvester" not in audit.read_text()


def test_accounts_are_followed_apart_and_nobody_without_a_name(client: TestClient) -> None:
    assert [send(client, account, 0)["stream"]["num_requests"] for account in "abab"] == [1, 1, 2, 2]
    assert send(client, None, 0)["stream"] is None
    assert "stillwatch_accounts 2.0" in client.get("/metrics").text


def test_an_account_is_the_same_by_header_and_by_wrapper_and_the_header_goes_first(client: TestClient) -> None:
    wrapped = {"request": HONEST, "account": "Zoë"}
    assert client.post("/v1/score", json=wrapped).json()["stream"]["num_requests"] == 1
    by_header = {b"X-Stillwatch-Account": "Zoë".encode()}
    assert client.post("/v1/score", json=HONEST, headers=by_header).json()["stream"]["num_requests"] == 2
    other = client.post("/v1/score", json=wrapped, headers={"X-Stillwatch-Account": "other"})
    assert other.json()["stream"]["num_requests"] == 1


def test_beside_an_account_header_a_wrapper_tells_nothing_and_no_time_is_in_the_future(
    client: TestClient, audit: Path
) -> None:
    now_s = time.time()
    for number in range(2):
        wrapped = {"request": HONEST, "account": "other", "time_s": 5.0}
        client.post("/v1/score", json=wrapped, headers={"X-Stillwatch-Account": "a"})
        future = str(now_s + (2 * 86_400, 3.99e9)[number])
        client.post("/v1/score", json=HONEST, headers={"X-Stillwatch-Account": "a", "X-Stillwatch-Time": future})
        client.post("/v1/score", json={"request": HONEST, "account": "a", "time_s": 3.99e9})
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [record["stream"]["num_requests"] for record in records] == [2, 3, 4, 5, 6]
    assert all(now_s <= record["request_time_s"] <= time.time() for record in records)


def test_of_two_account_headers_the_last_counts_which_the_gateway_added(client: TestClient) -> None:
    for number in (1, 2):
        twice = [("X-Stillwatch-Account", f"client-{number}"), ("X-Stillwatch-Account", "gateway")]
        reply = client.post("/v1/score", json=HONEST, headers=twice)
        assert reply.json()["stream"]["num_requests"] == number


def test_a_batch_follows_each_account_in_order(client: TestClient) -> None:
    items = [{"request": HONEST, "account": account, "time_s": 1e9} for account in ("a", "b", "a")]
    results = client.post("/v1/score/batch", json={"requests": items}).json()["results"]
    assert sorted(each["stream"]["num_requests"] for each in results) == [1, 1, 2]

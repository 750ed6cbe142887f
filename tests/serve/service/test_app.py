"""The HTTP surface over a tiny bundle: bodies as clients send them, refusals without quotes, decisions by policy."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from starlette.testclient import TestClient

from stillwatch.data.configuration import parse_config
from stillwatch.model.bundle import Bundle
from stillwatch.serve.audit import find_record
from stillwatch.serve.explaining import explain
from stillwatch.serve.service.app import SCORE, SCORE_BATCH, SECURITY_HEADERS, build_app
from stillwatch.serve.service.guardrail_api import GUARDRAIL
from stillwatch.serve.service.reading import ACCOUNT_HEADER, DEADLINE_HEADER, TIME_HEADER
from stillwatch.serve.service.replies import BatchReply, RefusalReply, ScoreReply
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.secrecy import make_api_key
from stillwatch.serve.service.settings import ServeConfig

HARVEST: dict[str, Any] = {"messages": [{"role": "user", "content": "reasoning " * 40}]}
HONEST: dict[str, Any] = {"system": "hello", "messages": [{"role": "user", "content": "hello hello"}], "max_tokens": 9}
BLOCK = ("policy.mode=block", "policy.on_failure=closed")
CANARY = "zanzibar"

Start = Callable[..., TestClient]


@pytest.fixture
def start(tiny_bundle: Bundle) -> Iterator[Start]:
    """Starts an app by overrides of its settings, and waits until it is warm."""
    with ExitStack() as stack:

        def make(*overrides: str) -> TestClient:
            settings = parse_config(ServeConfig, {"bundle": tiny_bundle.folder}, "settings", list(overrides))
            service = build_service(settings)
            stack.callback(service.close)
            service.warm_up()
            return stack.enter_context(TestClient(build_app(service), raise_server_exceptions=False))

        yield make


def test_either_body_is_scored_as_it_is_and_in_a_wrapper(start: Start) -> None:
    client = start()
    for body in (HARVEST, {"request": HARVEST, "account": "a", "time_s": 1e9}):
        reply = client.post("/v1/score", json=body)
        assert reply.status_code == 200
        told = ScoreReply.model_validate(reply.json())
        assert (told.action, told.enforced, told.block) == ("flag", False, False)
        assert told.request.reasons[0] == "extraction_at_or_above_flag"
    assert client.post("/v1/score", json=HONEST).json()["action"] == "allow"


def test_shadow_counts_what_would_be_done_and_does_nothing(start: Start) -> None:
    client = start()
    for body in (HARVEST, HARVEST, HONEST):
        assert client.post("/v1/score", json=body).json()["enforced"] is False
    metrics = client.get("/metrics").text
    assert 'stillwatch_decisions_total{result="would_flag"} 2.0' in metrics
    assert 'stillwatch_decisions_total{result="allow"} 1.0' in metrics


def test_review_mode_marks_and_block_mode_blocks(start: Start) -> None:
    review = start("policy.mode=review").post("/v1/score", json=HARVEST).json()
    assert (review["action"], review["enforced"], review["block"]) == ("review", True, False)
    assert review["request"]["action"] == "flag"
    client = start(*BLOCK)
    block = client.post("/v1/score", json=HARVEST).json()
    assert (block["action"], block["enforced"], block["block"]) == ("flag", True, True)
    assert client.post("/v1/score", json=HONEST).json()["block"] is False


def test_a_batch_is_answered_in_order_and_a_bad_item_in_its_place(start: Start) -> None:
    items = [HARVEST, {"messages": CANARY}, HONEST, {"request": HARVEST, CANARY: ""}]
    reply = start().post("/v1/score/batch", json={"requests": items})
    assert reply.status_code == 200
    results = BatchReply.model_validate(reply.json()).results
    assert [each.action for each in results] == ["flag", "review", "allow", "review"]
    assert [isinstance(each, RefusalReply) for each in results] == [False, True, False, True]
    assert CANARY not in reply.text


CONTENT = "messages.0.content"
DEEP = b'{"messages": ' + b"[" * 100 + b"]" * 100 + b"}"
BAD: dict[str, tuple[bytes, int, str | None]] = {
    "no JSON": (CANARY.encode(), 400, "body"),
    "no UTF-8": (b'{"messages": "\xff"}', 400, "messages"),
    "a list": (b"[1]", 400, "body"),
    "NaN": (b'{"messages": NaN}', 400, "messages"),
    "too deep": (DEEP, 400, "messages.0"),
    "far too deep": (b"[" * 100_000, 400, "body"),
    "a number of many digits": (b'{"messages": ' + b"9" * 9999 + b"}", 400, "messages"),
    "nothing": (b"", 400, "body"),
    "no messages": (f'{{"model": "{CANARY}"}}'.encode(), 400, "messages"),
    "no content": (json.dumps({"messages": [{"role": "user", "content": {CANARY: 1}}]}).encode(), 400, CONTENT),
    "a wrapper with more": (json.dumps({"request": HONEST, CANARY: 1}).encode(), 400, "request"),
    "too long": (json.dumps({"messages": [{"role": "user", "content": "x" * 5000}]}).encode(), 400, "request"),
    "too large": (b" " * 20_000, 413, None),
}


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_bad_bodies_are_refused_by_field_and_decided_by_policy(start: Start, closed: bool) -> None:
    policy = ("policy.mode=block", "policy.on_failure=open") if closed else ()
    client = start("limits.max_body_bytes=15000", "limits.max_characters=4000", *policy)
    for name, (body, status, field) in BAD.items():
        cut = body if name != "far too deep" else body[:15_000]
        reply = client.post("/v1/score", content=cut, headers={"Content-Type": "application/json"})
        assert reply.status_code == status, name
        told = RefusalReply.model_validate(reply.json())
        assert (told.error.field, told.action, told.block) == (field, "review", closed), name
        assert CANARY not in reply.text, name
        assert "Traceback" not in reply.text, name


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "Identity"}, 200),
        ({"X-Stillwatch-Time": CANARY}, 200),
        ({"X-Stillwatch-Time": "1e99"}, 200),
        ({"X-Stillwatch-Account": " "}, 200),
        ({"X-Stillwatch-Account": "x" * 2000}, 200),
        ({"X-Stillwatch-Deadline-Ms": "-1"}, 200),
        ({"X-Stillwatch-Deadline-Ms": "nan"}, 200),
    ],
)
def test_a_bad_content_type_is_refused_and_headers_of_ours_that_say_nothing_are_left_out(
    start: Start, headers: dict[str, str], status: int
) -> None:
    whole = {"Content-Type": "application/json"} | headers
    client = start()
    reply = client.post("/v1/score", content=json.dumps(HONEST), headers=whole)
    assert reply.status_code == status
    assert CANARY not in reply.text
    name = next(iter(headers))
    is_counted = f'stillwatch_dropped_parts_total{{part="{name}"}} 1.0' in client.get("/metrics").text
    assert is_counted is (name in (ACCOUNT_HEADER, TIME_HEADER))


def nest(value: object, _level: int) -> list[object]:
    return [value]


TURN = HARVEST["messages"][0]
ODD: dict[str, bytes] = {
    "time": json.dumps(HARVEST | {"time": "x"}).encode(),
    "id": json.dumps(HARVEST | {"id": 5}).encode(),
    "account": json.dumps(HARVEST | {"account": [CANARY]}).encode(),
    "temperature": json.dumps(HARVEST | {"temperature": "0.7"}).encode(),
    "max_tokens": json.dumps(HARVEST | {"max_tokens": -1}).encode(),
    "NaN": json.dumps(HARVEST | {"top_p": float("nan")}).encode(),
    "many digits": json.dumps(HARVEST | {"top_p": 1}).replace(": 1", ": " + "9" * 5000).encode(),
    "surrogate": json.dumps({"messages": [TURN | {"content": TURN["content"] + "\ud800"}]}).encode(),
    "bytes": json.dumps({"messages": [TURN | {"content": TURN["content"] + "?"}]}).encode().replace(b"?", b"\xff"),
    "line end": json.dumps({"messages": [TURN | {"content": TURN["content"] + "?"}]}).encode().replace(b"?", b"\n"),
    "UTF-16": json.dumps(HARVEST).encode("utf-16"),
    "deep": json.dumps(HARVEST | {"x": json.loads("[" * 90 + "]" * 90)}).encode(),
    "other_parts": json.dumps({"messages": [TURN | {"other_parts": 7}]}).encode(),
    "output_format": json.dumps(HARVEST | {"output_format": 3}).encode(),
    "empty message": json.dumps({"messages": [TURN, {"role": "user", "content": None}]}).encode(),
    "role": json.dumps({"messages": [TURN | {"role": "human"}, {"content": "hello"}]}).encode(),
    "part": json.dumps(
        {"messages": [{"role": "user", "content": [{"text": TURN["content"]}]}, *HONEST["messages"]]}
    ).encode(),
    "tool": json.dumps(HONEST | {"tools": [{"description": TURN["content"]}]}).encode(),
    "tools": json.dumps(HONEST | {"tools": TURN["content"]}).encode(),
    "deep tool": json.dumps(HONEST | {"tools": [{"name": "f", "x": functools.reduce(nest, range(90), TURN)}]}).encode(),
    "a hundred oddities": json.dumps({"messages": [TURN | {"other_parts": 7}] * 100}).encode(),
    "wrapper": json.dumps({"request": HARVEST, "account": "", "time_s": CANARY}).encode(),
    "a request beside": json.dumps({"input": TURN["content"], "request": HONEST}).encode(),
}


@pytest.mark.parametrize("name", ODD)
def test_no_oddity_of_a_body_makes_it_unreadable(start: Start, name: str) -> None:
    client = start("policy.mode=block", "policy.on_failure=open")
    reply = client.post("/v1/score", content=ODD[name], headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["block"], CANARY in reply.text) == (200, True, False)
    assert isinstance(ScoreReply.model_validate(reply.json()), ScoreReply)


def test_what_is_left_out_is_counted_by_field_and_never_quoted(start: Start) -> None:
    client = start()
    client.post("/v1/score", json=HONEST | {"id": 5, "temperature": CANARY, "tools": [CANARY, CANARY]})
    metrics = client.get("/metrics").text
    for part, count in (("id", 1), ("temperature", 1), ("tools", 2)):
        assert f'stillwatch_dropped_parts_total{{part="{part}"}} {count}.0' in metrics
    assert CANARY not in metrics


def test_bodies_that_cannot_be_read_are_audited_under_the_hash_of_their_account(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    client = start(f"audit.file={path}")
    client.post("/v1/score", json=HARVEST, headers={ACCOUNT_HEADER: "a"})
    client.post("/v1/score", content=CANARY, headers={ACCOUNT_HEADER: "a", "Content-Type": "application/json"})
    client.post("/v1/score", json={"request": {CANARY: 1}, "account": "a"})
    client.post("/v1/score/batch", json={"requests": [{"request": {CANARY: 1}, "account": "a"}]})
    question = {"input_type": CANARY, "request_data": {"user_api_key_hash": "a"}}
    client.post(GUARDRAIL, json=question)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({record["account_hash"] for record in records}) == 1
    fields = [None, "body", "messages", "messages", "input_type"]
    assert [record.get("refused", {}).get("field") for record in records] == fields
    assert {record["refused"]["code"] for record in records[1:]} == {"bad_input"}
    assert CANARY not in path.read_text()
    assert "bad_input" in CliRunner().invoke(explain, [records[1]["id"], "--audit", str(path)]).output


def test_bad_batches_are_refused(start: Start) -> None:
    client = start("limits.max_batch_requests=2")
    bodies: list[dict[str, object]] = [{}, {"requests": []}, {"requests": CANARY}, {"requests": [HONEST] * 3}]
    for body in bodies:
        reply = client.post("/v1/score/batch", json=body)
        assert (reply.status_code, reply.json()["error"]["field"]) == (400, "requests")


def test_a_deadline_that_passed_is_told_with_503(start: Start) -> None:
    client = start("queue.least_deadline_ms=1", "queue.cache_bytes=0")
    long = {"messages": [{"role": "user", "content": "reasoning " * 20_000}]}
    reply = client.post("/v1/score", json=long, headers={"X-Stillwatch-Deadline-Ms": "0.0001"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "deadline_exceeded")
    assert reply.headers["Retry-After"] == "1"


def test_no_header_has_its_own_request_refused_by_a_deadline(start: Start) -> None:
    reply = start("queue.least_deadline_ms=900").post("/v1/score", json=HONEST, headers={DEADLINE_HEADER: "0.0001"})
    assert reply.status_code == 200


def test_with_keys_only_probes_are_open(start: Start, tmp_path: Path) -> None:
    key, line = make_api_key("gateway")
    (tmp_path / "keys").write_text(line)
    client = start(f"auth.keys_file={tmp_path / 'keys'}")
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    attempts: list[dict[str, str]] = [{}, {"Authorization": f"Bearer {key}x"}, {"Authorization": f"Basic {key}"}]
    for headers in attempts:
        assert client.get("/metrics", headers=headers).status_code == 401
        reply = client.post("/v1/score", json=HARVEST, headers=headers)
        assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert client.post("/v1/score", json=HARVEST, headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_every_reply_has_security_headers_and_none_lets_another_origin_in(start: Start) -> None:
    client = start()
    replies = [
        client.get("/healthz"),
        client.get("/openapi.json"),
        client.get(f"/{CANARY}"),
        client.delete("/v1/score"),
        client.post("/v1/score", json=HONEST, headers={"Origin": "https://example.org"}),
        client.options("/v1/score", headers={"Origin": "https://e.org", "Access-Control-Request-Method": "POST"}),
    ]
    assert [reply.status_code for reply in replies] == [200, 200, 404, 405, 200, 405]
    for reply in replies:
        assert all(reply.headers[name] == value for name, value in SECURITY_HEADERS.items())
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert CANARY not in client.get("/metrics").text


def test_openapi_shows_both_bodies_and_every_refusal(start: Start) -> None:
    told = start().get("/openapi.json").json()
    assert set(told["paths"]) == {SCORE, SCORE_BATCH, GUARDRAIL, "/healthz", "/readyz", "/metrics"}
    score = told["paths"]["/v1/score"]["post"]
    assert set(score["requestBody"]["content"]["application/json"]["examples"]) == {"openai", "anthropic", "wrapper"}
    assert {"200", "400", "401", "413", "415", "429", "503"} <= set(score["responses"])
    assert [each["name"] for each in score["parameters"]] == [ACCOUNT_HEADER, TIME_HEADER, DEADLINE_HEADER]
    assert [kind.partition(";")[0] for kind in told["paths"]["/metrics"]["get"]["responses"]["200"]["content"]] == [
        "text/plain"
    ]


def test_the_examples_of_openapi_are_requests(start: Start) -> None:
    client = start()
    for path in ("/v1/score", "/v1/score/batch"):
        told = client.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in told["examples"].values():
            assert client.post(path, json=example["value"]).status_code == 200


def test_a_verdict_beyond_allow_is_audited_by_hashes_and_thresholds(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    client = start(f"audit.file={path}")
    headers = {"X-Stillwatch-Account": f"{CANARY}-account", "X-Stillwatch-Time": "1700000000"}
    body = HARVEST | {"id": f"{CANARY}-id", "user": f"{CANARY}-user"}
    flagged = client.post("/v1/score", json=body, headers=headers).json()
    allowed = client.post("/v1/score", json=HONEST, headers=headers).json()
    record = find_record(path, flagged["id"])
    assert record is not None
    assert find_record(path, allowed["id"]) is None
    assert record["request_time_s"] == 1_700_000_000
    assert record["thresholds"] == {"review_logit": -1.0, "flag_logit": 1.0}
    assert record["model_version"] == flagged["model_version"]
    assert len(str(record["account_hash"])) == len(str(record["request_id_hash"])) == 32
    assert CANARY not in path.read_text()


def test_an_account_in_the_body_counts_only_where_told(start: Start, tmp_path: Path) -> None:
    body = HARVEST | {"user": "someone"}
    cases: list[tuple[bool, list[str]]] = [(False, []), (True, ["accounts.from_body=true"])]
    for told, overrides in cases:
        path = tmp_path / f"{told}.jsonl"
        reply = start(f"audit.file={path}", *overrides).post("/v1/score", json=body)
        record = find_record(path, reply.json()["id"])
        assert record is not None
        assert (record["account_hash"] is not None) is told


def test_an_error_that_nobody_expected_is_a_refusal_with_headers_and_without_its_words(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client = start(*BLOCK)
    assert isinstance(client.app, FastAPI)

    async def fail() -> None:
        raise RuntimeError(CANARY)

    client.app.add_api_route("/fail", fail)
    reply = client.get("/fail")
    told = RefusalReply.model_validate(reply.json())
    assert (reply.status_code, told.error.code, told.block) == (500, "service_failed", True)
    assert all(reply.headers[name] == value for name, value in SECURITY_HEADERS.items())
    metrics = client.get("/metrics").text
    assert 'stillwatch_http_requests_total{route="other",status="500"} 1.0' in metrics
    assert 'stillwatch_refusals_total{code="service_failed",result="block"} 1.0' in metrics
    (event,) = [record for record in caplog.records if record.msg == "call_failed"]
    facts = vars(event)["facts"]
    assert facts["error"] == "RuntimeError"
    assert CANARY not in reply.text + metrics + caplog.text + str(facts)

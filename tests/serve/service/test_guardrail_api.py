"""LiteLLM's Generic Guardrail API over a tiny bundle: what is asked, what is answered, whom it is counted for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from stillwatch.data.configuration import parse_config
from stillwatch.data.errors import InputError
from stillwatch.model.bundle import Bundle
from stillwatch.serve.audit import find_record
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.guardrail_api import GUARDRAIL, name_account, read_guardrail_call
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.secrecy import make_api_key
from stillwatch.serve.service.settings import LiteLLMAccount, RequestLimitsConfig, ServeConfig

HARVEST = "reasoning " * 40
CANARY = "zanzibar"
BLOCK = ("policy.mode=block", "policy.on_failure=closed")
LIMITS = RequestLimitsConfig()

Start = Callable[..., TestClient]


def ask_about(text: str, **fields: object) -> dict[str, Any]:
    """A question as LiteLLM sends it, with every field that it knows."""
    return {
        "input_type": "request",
        "litellm_call_id": "0d3c9a52",
        "litellm_trace_id": None,
        "texts": [text],
        "structured_messages": [{"role": "user", "content": text}],
        "images": None,
        "tools": None,
        "tool_calls": None,
        "request_data": {"user_api_key_hash": "88dc28d0"},
        "request_headers": {"authorization": "[present]"},
        "litellm_version": "1.106.2",
        "additional_provider_specific_params": {},
        "model": "any",
    } | fields


@pytest.fixture
def start(tiny_bundle: Bundle) -> Iterator[Start]:
    """Starts an app by overrides of its settings, and waits until it is warm."""
    with ExitStack() as stack:

        def make(*overrides: str, warm: bool = True) -> TestClient:
            settings = parse_config(ServeConfig, {"bundle": tiny_bundle.folder}, "settings", list(overrides))
            service = build_service(settings)
            stack.callback(service.close)
            if warm:
                service.warm_up()
            return TestClient(build_app(service), raise_server_exceptions=False)

        yield make


def test_only_mode_block_blocks_a_harvest_and_the_reason_names_the_verdict_alone(start: Start, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    client = start(*BLOCK, f"audit.file={audit}")
    reply = client.post(GUARDRAIL, json=ask_about(f"{CANARY} {HARVEST}"))
    assert reply.status_code == 200
    assert reply.json()["action"] == "BLOCKED"
    verdict_id = json.loads(audit.read_text())["id"]
    assert f"the verdict {verdict_id}." in reply.json()["blocked_reason"]
    assert CANARY not in reply.text + audit.read_text()
    record = find_record(audit, verdict_id)
    assert record is not None
    assert record["account_hash"]
    assert record["request_id_hash"]
    assert client.post(GUARDRAIL, json=ask_about("hello hello")).json() == {"action": "NONE"}


@pytest.mark.parametrize(("mode", "counted"), [("shadow", "would_flag"), ("review", "review")])
def test_shadow_and_review_let_a_harvest_pass_and_count_it(start: Start, mode: str, counted: str) -> None:
    client = start(f"policy.mode={mode}")
    assert client.post(GUARDRAIL, json=ask_about(HARVEST)).json() == {"action": "NONE"}
    metrics = client.get("/metrics").text
    assert f'stillwatch_decisions_total{{result="{counted}"}} 1.0' in metrics
    assert f'stillwatch_http_requests_total{{route="{GUARDRAIL}",status="200"}} 1.0' in metrics


def test_answers_of_a_model_and_images_alone_pass_unscored(start: Start) -> None:
    client = start(*BLOCK)
    for question in (
        ask_about(HARVEST, input_type="response"),
        ask_about("", texts=[], structured_messages=None, images=["data:image/png;base64,AAAA"]),
    ):
        assert client.post(GUARDRAIL, json=question).json() == {"action": "NONE"}
    assert 'stillwatch_decisions_total{result="' not in client.get("/metrics").text


def test_texts_are_read_where_there_are_no_messages(start: Start) -> None:
    client = start(*BLOCK)
    assert client.post(GUARDRAIL, json=ask_about(HARVEST, structured_messages=None)).json()["action"] == "BLOCKED"
    assert client.post(GUARDRAIL, json=ask_about("hello", structured_messages=[])).json()["action"] == "NONE"


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_what_cannot_be_scored_is_answered_by_policy_and_never_by_an_error(start: Start, closed: bool) -> None:
    overrides = (
        "policy.mode=block",
        f"policy.on_failure={'closed' if closed else 'open'}",
        f"policy.on_unreadable={'closed' if closed else 'open'}",
        "limits.max_characters=4000",
    )
    client = start(*overrides, "limits.max_body_bytes=20000")
    questions = (
        ask_about("", structured_messages=[{"role": CANARY, "content": 7}]),
        ask_about("", structured_messages=None, texts=[7, {CANARY: 1}]),
        ask_about("", structured_messages=None, texts=CANARY),
        ask_about(CANARY, input_type=CANARY),
        ask_about(CANARY * 1000),
        ask_about(CANARY * 5000),
    )
    bodies = [*(json.dumps(question).encode() for question in questions), CANARY.encode()]
    for body in bodies:
        reply = client.post(GUARDRAIL, content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 200
        assert reply.json()["action"] == ("BLOCKED" if closed else "NONE")
        assert CANARY not in reply.text
    cold = start(*overrides, warm=False).post(GUARDRAIL, json=ask_about("hello"))
    assert cold.status_code == 200
    assert cold.json()["action"] == ("BLOCKED" if closed else "NONE")


def test_a_key_is_asked_for_in_either_header(start: Start, tmp_path: Path) -> None:
    key, line = make_api_key("litellm")
    keys = tmp_path / "keys"
    keys.write_text(line)
    client = start(f"auth.keys_file={keys}")
    statuses = [
        client.post(GUARDRAIL, json=ask_about("hello"), headers=headers).status_code
        for headers in ({}, {"X-Api-Key": key[:-1]}, {"X-Api-Key": key}, {"Authorization": f"Bearer {key}"})
    ]
    assert statuses == [401, 401, 200, 200]


NAMES = {
    "user_api_key_hash": "k",
    "user_api_key_user_id": "u",
    "user_api_key_team_id": "t",
    "user_api_key_org_id": "o",
    "user_api_key_end_user_id": "e",
}


@pytest.mark.parametrize(
    ("account", "name"), [("key", "k"), ("user", "u"), ("team", "t"), ("org", "o"), ("end_user", "k/e")]
)
def test_the_account_is_the_configured_name(account: LiteLLMAccount, name: str) -> None:
    assert name_account(NAMES, account) == name
    assert name_account({"user_api_key_hash": "k"}, account) == ("k" if account in ("key", "end_user") else None)
    assert name_account({"user_api_key_end_user_id": "k/e"}, "end_user") is None
    for strange in (None, "k", ["k"], {"user_api_key_hash": 7}):
        assert name_account(strange, account) is None


def test_a_call_becomes_a_request_with_its_tools_options_account_and_time() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    call = ask_about("hello", tools=[tool], request_data=NAMES)
    request = read_guardrail_call(call, LIMITS, "key", options={"temperature": 0.5, "max_tokens": 9})
    assert request is not None
    assert (request.account, request.id) == ("k", "0d3c9a52")
    assert [each.name for each in request.tools] == ["look"]
    assert (request.sampling.temperature, request.sampling.max_tokens) == (0.5, 9)
    assert request.time_s is not None
    with pytest.raises(InputError, match="input_type"):
        read_guardrail_call({"texts": ["hello"]}, LIMITS, "key")

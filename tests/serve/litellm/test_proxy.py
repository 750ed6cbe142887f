"""Both plugs of LiteLLM, as `configs/` gives them, in a real proxy: honest traffic passes and a harvest is found."""

from __future__ import annotations

import copy
import itertools
import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from stillwatch.serve.audit import find_record

pytestmark = pytest.mark.slow

WAIT_S = 120.0
CANARY = "zanzibar"
ANSWER = "It depends on the soil."
PATIENT_MS = 60_000
MAX_REQUESTS = 50
VERDICT = re.compile("the verdict ([0-9a-f]{32})")

HONEST = (
    "Which plants like shade and dry soil? My balcony faces north.",
    "Please shorten this note to my landlord to three sentences: the heating has been cold since Monday.",
    "How long do I boil eggs so that the yolk stays soft?",
    "Translate to French: the train leaves at nine from platform two.",
    "Why does my Python loop print the list twice? for x in xs: print(xs)",
    "What should I pack for four days of hiking in the rain?",
    "Is it too late in November to plant tulips?",
    "Rewrite more politely: send me the invoice today.",
)
HARVESTS = (
    "Continue with batch {n} of 400. Produce 25 new instruction and response pairs about {topic} in JSONL, each with "
    "your full step-by-step reasoning in the field thought. Do not repeat earlier items and do not summarise: the "
    "lines are appended to the training set of the student model.",
    "For each of the {n} problems on {topic} below, write the complete chain of thought between <trace> tags, every "
    "intermediate step, then the final answer. Emit one JSON object per line with the keys prompt, reasoning and "
    "completion, so that the file can be used directly as fine-tuning data for our smaller model.",
    "Write {n} diverse tasks on {topic} with difficulty levels, and for each the complete reasoning, tool calls and "
    "final patch of an expert agent, as JSONL trajectories with the fields instruction, thoughts, actions, "
    "observations and solution. The trajectories train a model.",
)
TOPICS = ("fractions", "sorting a list", "tax forms", "unit tests", "chess openings", "sailing", "contract law")


@dataclass(frozen=True)
class Gateway:
    """The proxy, the services behind its HTTP guardrails, and what is written about it all."""

    proxy: Any
    shadow: Any
    block: Any
    upstream: Any
    folder: Path

    def ask(self, text: str, guardrail: str | None, *, account: str, stream: bool = False) -> httpx2.Response:
        """One request of an account, as an OpenAI client sends it, under one guardrail or that of the model."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "stream": stream, "user": CANARY}
        body |= {"model": "guarded"} if guardrail is None else {"model": "any", "guardrails": [guardrail]}
        headers = {"Authorization": f"Bearer sk-{CANARY}-{account}"}
        return httpx2.post(f"{self.proxy.url}/v1/chat/completions", json=body, headers=headers, timeout=WAIT_S)

    def read_metrics(self, guardrail: str) -> str:
        """Of the shadow service, or of the guardrail in the proxy's process."""
        if guardrail == "http-shadow":
            return httpx2.get(f"{self.shadow.url}/metrics", timeout=WAIT_S).text
        headers = {"Authorization": f"Bearer sk-{CANARY}-operator"}
        return httpx2.get(f"{self.proxy.url}/metrics/", headers=headers, timeout=WAIT_S).text


def build_guardrails(repository: Path, folder: Path, shadow_url: str, block_url: str) -> list[dict[str, Any]]:
    """The guardrails of `configs/`, patient where time is not the question, each only where a request names it."""
    found: list[dict[str, Any]] = []

    def add(file: str, name: str, **fields: Any) -> dict[str, Any]:
        (guardrail,) = copy.deepcopy(yaml.safe_load((repository / "configs" / file).read_text())["guardrails"])
        guardrail["guardrail_name"] = name
        guardrail["litellm_params"] |= {"default_on": False, **fields}
        found.append(guardrail)
        return dict(guardrail["litellm_params"])

    closed = {"unreachable_fallback": "fail_closed", "fail_on_error": True}
    add("litellm_http.yaml", "http-shadow", api_base=shadow_url, timeout=PATIENT_MS / 1000)
    add("litellm_http.yaml", "http-block", api_base=block_url, timeout=PATIENT_MS / 1000)
    add("litellm_http.yaml", "http-open", api_base=block_url, timeout=1)
    add("litellm_http.yaml", "http-closed", api_base=block_url, timeout=1, **closed)
    block_open = {"mode": "block", "on_failure": "open"}
    block_closed = {"mode": "block", "on_failure": "closed"}
    for name, mode, policy, queue in (
        ("inside-shadow", "pre_call", None, {"deadline_ms": PATIENT_MS}),
        ("inside-block", "pre_call", block_open, {"deadline_ms": PATIENT_MS}),
        ("inside-beside", "during_call", block_open, {"deadline_ms": PATIENT_MS}),
        ("inside-open", "pre_call", block_open, {"deadline_ms": 1, "cache_bytes": 0}),
        ("inside-closed", "pre_call", block_closed, {"deadline_ms": 1, "cache_bytes": 0}),
    ):
        params = add("litellm_inside.yaml", name, mode=mode)["stillwatch"]
        params["queue"] |= queue
        params["policy"] = params["policy"] if policy is None else policy
        params["audit"]["file"] = str(folder / f"{name}.audit.jsonl")
    return found


@pytest.fixture(scope="module")
def gateway(start_service: Any, start_proxy: Any, upstream: Any, folder: Path, repository: Path) -> Gateway:
    """All of it, started once."""
    patient = f"queue.deadline_ms={PATIENT_MS}"
    shadow = start_service("http-shadow", patient, "accounts.litellm=user")
    block = start_service("http-block", patient, "policy.mode=block", "policy.on_failure=open")
    proxy = start_proxy(build_guardrails(repository, folder, shadow.url, block.url), "inside-block")
    return Gateway(proxy, shadow, block, upstream, folder)


def iter_harvest() -> Iterator[str]:
    """Requests of one harvester, no two alike."""
    for n, (harvest, topic) in enumerate(zip(itertools.cycle(HARVESTS), itertools.cycle(TOPICS)), 20):
        yield f"{harvest.format(n=n, topic=topic)} ({CANARY})"


def read_stream(reply: httpx2.Response) -> tuple[str, bool]:
    """The text of server-sent events, and whether they came to their end."""
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines if line != "[DONE]"]
    return "".join(delta.get("content") or "" for delta in deltas), lines[-1] == "[DONE]"


def read_audit(gateway: Gateway, guardrail: str) -> list[dict[str, Any]]:
    lines = (gateway.folder / f"{guardrail}.audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("guardrail", ["http-block", "inside-block", "inside-beside"])
def test_honest_traffic_passes_plain_and_streaming(gateway: Gateway, guardrail: str) -> None:
    for text in HONEST:
        reply = gateway.ask(text, guardrail, account=f"honest-{guardrail}")
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"][0]["message"]["content"] == ANSWER
        assert guardrail in reply.headers["x-litellm-applied-guardrails"]
    streamed = gateway.ask(HONEST[0], guardrail, account=f"honest-{guardrail}", stream=True)
    assert streamed.status_code == 200
    assert read_stream(streamed) == (ANSWER, True)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streaming"])
@pytest.mark.parametrize("guardrail", ["http-block", "inside-block"])
def test_a_harvest_is_blocked_within_fifty_requests_and_never_reaches_the_model(
    gateway: Gateway, guardrail: str, stream: bool
) -> None:
    before = gateway.upstream.num_calls
    account = f"harvester-{guardrail}-{stream}"
    statuses = []
    for text in itertools.islice(iter_harvest(), MAX_REQUESTS):
        reply = gateway.ask(text, guardrail, account=account, stream=stream)
        statuses.append(reply.status_code)
        if reply.status_code != 200:
            break
    assert statuses[-1] == 400, statuses
    assert gateway.upstream.num_calls - before == len(statuses) - 1
    found = VERDICT.search(reply.json()["error"]["message"])
    assert found is not None, reply.text
    record = find_record(gateway.folder / f"{guardrail}.audit.jsonl", found[1])
    assert record is not None
    assert (record["action"], record["enforced"], record["block"], record["mode"]) == ("flag", True, True, "block")


@pytest.mark.parametrize("guardrail", ["inside-beside", None], ids=["beside the model", "named by the model"])
def test_a_harvest_is_blocked_however_the_guardrail_is_hung_in(gateway: Gateway, guardrail: str | None) -> None:
    replies = (gateway.ask(text, guardrail, account=f"harvester-{guardrail}") for text in iter_harvest())
    assert 400 in (reply.status_code for reply in itertools.islice(replies, MAX_REQUESTS))
    assert gateway.ask(HONEST[0], guardrail, account=f"honest-{guardrail}").status_code == 200


@pytest.mark.parametrize("guardrail", ["http-shadow", "inside-shadow"])
def test_shadow_blocks_nothing_and_counts_what_it_would_flag(gateway: Gateway, guardrail: str) -> None:
    texts = list(itertools.islice(iter_harvest(), 2 * len(HARVESTS)))
    replies = [gateway.ask(text, guardrail, account="harvester") for text in texts]
    assert {reply.status_code for reply in replies} == {200}
    counted = re.findall(r"stillwatch_decisions_total\{(.*?)\} (\S+)", gateway.read_metrics(guardrail))
    label = "" if guardrail == "http-shadow" else f'guardrail="{guardrail}"'
    (would_flag,) = (float(count) for labels, count in counted if 'result="would_flag"' in labels and label in labels)
    flagged = [record for record in read_audit(gateway, guardrail) if record["action"] == "flag"]
    assert would_flag == len(flagged) > 0
    assert not any(record["enforced"] or record["block"] for record in flagged)


def test_accounts_are_hashes_of_the_configured_name_and_no_client_can_forge_them(gateway: Gateway) -> None:
    for guardrail in ("http-shadow", "inside-shadow"):
        before = {record["account_hash"] for record in read_audit(gateway, guardrail)}
        forged = {"user_api_key_hash": "forged", "user_api_key_user_id": "forged", "user_api_key_token": "forged"}
        for text in itertools.islice(iter_harvest(), len(HARVESTS)):
            body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "guardrails": [guardrail]}
            body |= {"model": "any", "metadata": forged, "litellm_metadata": forged}
            headers = {"Authorization": f"Bearer sk-{CANARY}-forger"}
            url = f"{gateway.proxy.url}/v1/chat/completions"
            assert httpx2.post(url, json=body, headers=headers, timeout=WAIT_S).status_code == 200
            gateway.ask(text, guardrail, account="forger")
        new = {record["account_hash"] for record in read_audit(gateway, guardrail)} - before
        assert len(new) == 1
        assert all(re.fullmatch("[0-9a-f]{32}", account) for account in new)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streaming"])
def test_inside_the_proxy_what_is_late_passes_or_not_as_configured(gateway: Gateway, stream: bool) -> None:
    text = " ".join(HONEST) * 20
    passed = gateway.ask(text, "inside-open", account="late", stream=stream)
    assert passed.status_code == 200
    assert (read_stream(passed)[0] if stream else passed.json()["choices"][0]["message"]["content"]) == ANSWER
    refused = gateway.ask(text, "inside-closed", account="late", stream=stream)
    assert refused.status_code == 400
    assert "deadline_exceeded" in refused.json()["error"]["message"]


def test_a_service_that_hangs_or_has_gone_is_passed_by_or_not_as_configured(gateway: Gateway) -> None:
    def ask_both() -> list[int]:
        asked = [("http-open", False), ("http-open", True), ("http-closed", False), ("http-closed", True)]
        return [gateway.ask(HONEST[0], name, account="away", stream=stream).status_code for name, stream in asked]

    gateway.block.process.send_signal(signal.SIGSTOP)
    try:
        assert ask_both() == [200, 200, 500, 500]
    finally:
        gateway.block.process.send_signal(signal.SIGCONT)
    assert gateway.ask(HONEST[1], "http-block", account="away").status_code == 200
    gateway.block.stop()
    assert ask_both() == [200, 200, 500, 500]


def test_what_clients_send_is_in_no_log_audit_or_metric_of_ours(gateway: Gateway) -> None:
    for guardrail in ("http-shadow", "inside-shadow", "inside-block"):
        for text in itertools.islice(iter_harvest(), len(HARVESTS)):
            gateway.ask(text, guardrail, account=CANARY)
    metrics = [gateway.read_metrics("http-shadow"), gateway.read_metrics("inside-shadow")]
    audits = list(gateway.folder.glob("*.audit.jsonl"))
    assert len(audits) >= 4
    ours = [line for page in metrics for line in page.splitlines() if "stillwatch" in line]
    logs = [gateway.shadow.log, gateway.block.log, gateway.proxy.log]
    written = [*ours, *(path.read_text() for path in [*audits, *logs])]
    assert ours
    assert CANARY not in "".join(written).lower()
    assert "Traceback" not in gateway.shadow.log.read_text() + gateway.block.log.read_text()

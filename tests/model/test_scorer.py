from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.errors import BundleError, ConfigError, InputError
from stillwatch.data.labels import TECHNIQUES, Role
from stillwatch.data.records import Message, Request, Tool
from stillwatch.model.bundle import Bundle, Probe, seal_bundle, write_probes
from stillwatch.model.calibration import Action
from stillwatch.model.runtime_choice import RuntimeName
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import REASON_CODES, Evidence, Reason, name_attributes

WORD = "zanzibar"
BODY: Mapping[str, object] = {
    "id": "r1",
    "user": f"{WORD}-account",
    "messages": [
        {"role": "system", "content": f"{WORD} reasoning"},
        {"role": "user", "content": [{"type": "text", "text": f"reasoning {WORD}"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": WORD, "arguments": f'{{"{WORD}": 1}}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": WORD},
    ],
    "tools": [{"type": "function", "function": {"name": WORD, "description": WORD, "parameters": {WORD: {}}}}],
    "response_format": {"type": "json_schema", "json_schema": {"name": WORD}},
}


def ask(text: str, request_id: str | None = None) -> Request:
    return Request((Message(Role.USER, text),), id=request_id)


def draw_requests(num_requests: int) -> list[Request]:
    rng = Random(5)
    return [
        ask(" ".join(rng.choices(["trace", "order", "hello", "reasoning"], k=rng.randint(0, 300))), str(i))
        for i in range(num_requests)
    ]


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Bundle) -> Scorer:
    return Scorer.load(tiny_bundle.folder)


def test_a_request_is_flagged_reviewed_or_allowed_by_its_calibrated_logit(scorer: Scorer) -> None:
    flagged = scorer.score(ask("reasoning " * 30))
    reviewed = scorer.score(ask("reasoning hello " * 15))
    allowed = scorer.score(ask("hello " * 30))
    assert [each.action for each in (flagged, reviewed, allowed)] == [Action.FLAG, Action.REVIEW, Action.ALLOW]
    assert flagged.reasons == (Reason.FLAG_THRESHOLD, Reason.REASONING_ELICITATION, "asks_reasoning_trace", "batch")
    assert Reason.REVIEW_THRESHOLD in reviewed.reasons
    assert not {"asks_reasoning_trace", "batch"} & set(reviewed.reasons)
    assert (allowed.reasons, allowed.evidence) == ((), None)
    assert flagged.probability > 0.7 > reviewed.probability > allowed.probability


def test_techniques_are_named_in_order_and_sum_to_one(scorer: Scorer) -> None:
    techniques = scorer.score(ask("reasoning")).techniques
    assert list(techniques) == [technique.value for technique in TECHNIQUES]
    assert sum(techniques.values()) == pytest.approx(1.0, abs=1e-6)


def test_evidence_names_the_turn_that_fills_the_highest_window(scorer: Scorer) -> None:
    turns = [(Role.SYSTEM, "hello"), (Role.USER, "hello "), (Role.ASSISTANT, "hello "), (Role.USER, "reasoning ")]
    messages = tuple(Message(role, text * 90 if text.endswith(" ") else text) for role, text in turns)
    verdict = scorer.score(Request(messages))
    assert verdict.evidence == Evidence(verdict.coverage.top_window, 3, "user")
    tools = scorer.score(Request((Message(Role.USER, "hello"),), tools=(Tool("x", "reasoning " * 90),)))
    assert tools.evidence is not None
    assert (tools.evidence.turn, tools.evidence.role) == (None, "tools")


def test_attributes_are_named_above_their_thresholds_alone_strongest_first_and_few() -> None:
    names, logits = list(ATTRIBUTES)[:8], [9.0, 1.0, 5.0, 5.5, 4.5, 6.0, 7.0, 8.0]
    thresholds = dict.fromkeys(names[1:], 4.0) | {names[2]: 0.0}
    assert name_attributes(names, logits, thresholds) == [names[i] for i in (2, 7, 6, 5, 3)]
    assert name_attributes(names, logits, {}) == []


def test_every_reason_has_a_meaning_and_no_meaning_stands_alone() -> None:
    assert set(REASON_CODES) == {*Reason, *ATTRIBUTES}
    assert not {*Reason} & set(ATTRIBUTES)


def test_every_technique_has_its_reason_code() -> None:
    assert {f"technique_{technique}" for technique in TECHNIQUES} <= {reason.value for reason in Reason}


def test_a_verdict_is_json_and_never_carries_text_of_the_request(scorer: Scorer) -> None:
    verdict = scorer.score(BODY)
    written = json.dumps(verdict.to_dict())
    assert WORD not in written
    assert WORD not in repr(verdict)
    assert json.loads(written)["id"] == "r1"
    assert list(json.loads(written)) == [
        "id",
        "probability",
        "logit",
        "techniques",
        "action",
        "reasons",
        "evidence",
        "coverage",
        "model_version",
        "stream",
        "degraded",
    ]


def test_coverage_tells_what_was_read(scorer: Scorer) -> None:
    coverage = scorer.score(ask("hello " * 200 + "reasoning " * 40)).coverage
    assert coverage.characters == 200 * 6 + 40 * 10
    assert coverage.tokens == 240 + 2
    assert coverage.windows > 3
    assert coverage.top_window == coverage.windows - 1


def test_a_demand_at_the_end_of_a_long_request_is_read_and_found(scorer: Scorer) -> None:
    buried = scorer.score(ask("hello " * 3000 + "reasoning " * 60))
    assert buried.coverage.top_window == buried.coverage.windows - 1
    assert buried.logit > scorer.score(ask("hello " * 3000)).logit


def test_scoring_many_gives_every_bit_that_scoring_one_gives(scorer: Scorer) -> None:
    requests = draw_requests(40)
    assert scorer.score_many(requests) == [scorer.score(request) for request in requests]
    assert scorer.score_many(iter(requests)) == scorer.score_many(requests)
    assert scorer.score_many([]) == []


def test_windows_are_counted_as_they_are_scored(scorer: Scorer) -> None:
    requests, done = draw_requests(20), list[int]()
    scorer.score_many(requests, on_progress=done.append)
    assert sum(done) == scorer.count_windows(requests)


def test_eight_threads_get_what_one_gets(scorer: Scorer) -> None:
    requests = draw_requests(20)
    serial = [scorer.score(request) for request in requests]
    with ThreadPoolExecutor(8) as pool:
        for verdicts in pool.map(lambda _: [scorer.score(request) for request in requests], range(8)):
            assert verdicts == serial


def test_a_body_that_is_no_request_is_refused_without_its_text(scorer: Scorer) -> None:
    with pytest.raises(InputError) as caught:
        scorer.score({"messages": [{"role": WORD, "content": WORD}]})
    assert WORD not in str(caught.value)


def test_a_machine_that_computes_something_else_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    write_probes(folder, (*tiny_bundle.probes, Probe(ids=(2, 5, 3), int8=1.0, fp32=1.0)))
    seal_bundle(folder, tiny_bundle.manifest)
    with pytest.raises(BundleError, match=r"probes\.1: onnxruntime-int8 on this machine is"):
        Scorer.load(folder)


def test_a_bundle_without_a_torch_network_says_so(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="carries no torch network"):
        Scorer.load(tiny_bundle.folder, runtime="torch")


def test_an_unknown_runtime_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="runtime: no such runtime; use one of auto, onnxruntime, openvino, torch"):
        Scorer.load(tiny_bundle.folder, runtime=cast(RuntimeName, cast(Any, "tensorflow")))


@pytest.mark.slow
def test_both_runtimes_of_a_trained_bundle_agree(trained_bundle: Bundle) -> None:
    requests = draw_requests(40)
    int8 = Scorer.load(trained_bundle.folder).score_many(requests)
    fp32 = Scorer.load(trained_bundle.folder, runtime="torch").score_many(requests)
    slope = trained_bundle.calibration.slope
    differences = [abs(a.logit - b.logit) / slope for a, b in zip(int8, fp32, strict=True)]
    assert sum(differences) / len(differences) <= 0.25
    assert max(a.logit for a in int8) - min(a.logit for a in int8) > 8 * slope * 0.25


@pytest.mark.slow
def test_an_int8_model_gives_every_bit_the_same_alone_in_company_and_in_threads(trained_bundle: Bundle) -> None:
    scorer, requests = Scorer.load(trained_bundle.folder), draw_requests(20)
    serial = [scorer.score(request) for request in requests]
    assert scorer.score_many(requests) == serial
    with ThreadPoolExecutor(8) as pool:
        for verdicts in pool.map(lambda _: [scorer.score(request) for request in requests], range(8)):
            assert verdicts == serial

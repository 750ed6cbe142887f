"""The detector at run time: steps by onnxruntime, verdicts with least evidence, allow-list, refused bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from stillwatch.data.errors import BundleError, ConfigError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX
from stillwatch.model.calibration import Action
from stillwatch.model.logits import RequestLogits
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.allow_list import AllowList, hash_account
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.model.streams.layout import WINDOW
from stillwatch.model.streams.observation import Observation
from stillwatch.model.streams.state import AccountState
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.model.streams.verdict import StreamReason, StreamVerdict

KEY = b"sixteen bytes at least"
WORD = "zanzibar"


def ask(text: str) -> Request:
    return Request((Message(Role.USER, text),))


@pytest.fixture(scope="module")
def detector(stream_folder: Path) -> StreamDetector:
    return StreamDetector.load(stream_folder)


def follow(
    detector: StreamDetector, observe: Callable[..., Observation], logits: list[float], **kinds: AllowList
) -> list[StreamVerdict]:
    """Verdicts on one account whose requests have these extraction logits; its stream logit is their mean."""
    states, counter = MemoryStateStore(), MemoryAccountCounter()
    return [
        detector.follow(
            observe(ask(f"{WORD} number {n}"), logit, n),
            f"{WORD}-account",
            1e9 + n,
            states=states,
            counter=counter,
            allow_list=kinds.get("allow_list"),
        )
        for n, logit in enumerate(logits)
    ]


def test_the_logit_is_the_network_s_over_the_window(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    state = AccountState()
    rows = [state.update(observe(ask(f"{n}"), float(n % 10), n), None, None) for n in range(WINDOW + 20)]
    expected = float(np.mean([row[0] for row in rows[-WINDOW:]]))
    assert detector.step(state) == pytest.approx(expected, abs=1e-4)


def test_accounts_are_stepped_alone_as_in_company(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    states = []
    for number in range(5):
        states.append(AccountState())
        for step in range(1 + 3 * number):
            states[-1].update(observe(ask(f"{number} {step}"), float(number), step), None, None)
    together = detector.run([state.read_window() for state in states])
    assert together == pytest.approx([detector.step(state) for state in states], abs=1e-5)


def test_nothing_beyond_review_without_the_least_evidence(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    verdicts = follow(detector, observe, [5.0] * 5)
    assert [verdict.action for verdict in verdicts] == [Action.REVIEW] * 3 + [Action.FLAG] * 2
    assert StreamReason.TOO_LITTLE_EVIDENCE in verdicts[0].reasons
    assert StreamReason.FLAG_THRESHOLD in verdicts[3].reasons
    assert [verdict.num_requests for verdict in verdicts] == [1, 2, 3, 4, 5]


def test_one_spike_never_flags_though_the_maximum_stays(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    verdicts = follow(detector, observe, [4.0] + [-8.0] * 20)
    assert {verdict.action for verdict in verdicts} == {Action.REVIEW}
    assert verdicts[-1].maximum == verdicts[0].maximum > verdicts[-1].logit
    assert verdicts[-1].num_suspicious == 1


def test_an_account_below_review_is_allowed_without_a_reason(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    verdicts = follow(detector, observe, [-3.0] * 10)
    assert all(verdict.action is Action.ALLOW and verdict.reasons == () for verdict in verdicts)
    assert verdicts[-1].probability < 0.1


def test_an_account_on_the_allow_list_is_allowed_and_noted(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    listed = AllowList(KEY, {hash_account(f"{WORD}-account", KEY): "evaluation team, since May"})
    verdict = follow(detector, observe, [5.0] * 5, allow_list=listed)[-1]
    assert verdict.action is Action.ALLOW
    assert verdict.note == "evaluation team, since May"
    assert {StreamReason.ALLOW_LISTED, StreamReason.FLAG_THRESHOLD} <= set(verdict.reasons)
    others = AllowList(KEY, {hash_account("somebody", KEY): "a partner"})
    assert follow(detector, observe, [5.0] * 5, allow_list=others)[-1].action is Action.FLAG


def test_an_allow_list_needs_a_key_and_notes() -> None:
    with pytest.raises(ConfigError, match="16 to 64"):
        AllowList(b"short", {})
    with pytest.raises(ConfigError, match="without a note"):
        AllowList(KEY, {hash_account("a", KEY): " "})


def test_a_verdict_is_json_and_holds_neither_text_nor_account(
    detector: StreamDetector, observe: Callable[..., Observation]
) -> None:
    written = json.dumps(asdict(follow(detector, observe, [5.0] * 5)[-1]))
    assert WORD not in written


def test_a_state_of_another_release_starts_anew(detector: StreamDetector, observe: Callable[..., Observation]) -> None:
    states = MemoryStateStore()
    states.change("a", lambda kept: (b"from elsewhere", None))
    verdict = detector.follow(observe(ask("hello")), "a", None, states=states)
    assert verdict.num_requests == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layout_version", 99, "versions"),
        ("fingerprint_version", 99, "versions"),
        ("embedding_matrix", [[1.0, 2.0]], "embedding_matrix|columns"),
        ("surprise", 1, "surprise"),
        ("calibration", None, "calibration"),
    ],
)
def test_a_stream_model_of_another_kind_is_refused(
    stream_folder: Path, tmp_path: Path, field: str, value: object, message: str
) -> None:
    folder = Path(shutil.copytree(stream_folder, tmp_path / "stream"))
    written = json.loads((folder / STREAM_JSON).read_text("utf-8"))
    (folder / STREAM_JSON).write_text(json.dumps(written | {field: value}), "utf-8")
    with pytest.raises(BundleError, match=message):
        StreamDetector.load(folder)


def test_a_network_that_is_none_or_of_another_width_is_refused(
    stream_folder: Path, tmp_path: Path, build_network: Callable[[int], onnx.ModelProto]
) -> None:
    folder = Path(shutil.copytree(stream_folder, tmp_path / "stream"))
    onnx.save(build_network(3), str(folder / STREAM_ONNX))
    with pytest.raises(BundleError, match="other inputs"):
        StreamDetector.load(folder)
    (folder / STREAM_ONNX).write_bytes(b"nothing")
    with pytest.raises(BundleError, match="cannot open"):
        StreamDetector.load(folder)
    with pytest.raises(BundleError, match="missing"):
        StreamDetector.load(tmp_path / "nowhere")


def test_outputs_of_another_request_model_are_refused(
    detector: StreamDetector, make_logits: Callable[..., RequestLogits]
) -> None:
    logits = make_logits()
    narrow = RequestLogits(0.0, logits.techniques, logits.attributes, logits.embedding[:5], 0)
    with pytest.raises(BundleError, match="another request model"):
        detector.observe(ask("hello"), narrow)

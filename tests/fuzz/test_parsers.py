"""Whatever bytes come, every parser reads them or refuses them by a declared error that quotes nothing."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from starlette.datastructures import Headers

from stillwatch.data.dialects import parse_labelled, parse_request
from stillwatch.data.errors import InputError
from stillwatch.data.limits import Limits
from stillwatch.data.lines import iter_lines
from stillwatch.data.records import Request
from stillwatch.model.bundle import MANIFEST, TOKENIZER, Bundle, load_bundle
from stillwatch.model.calibration import Action
from stillwatch.model.logits import RequestLogits
from stillwatch.model.render import render
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.accounts import Others
from stillwatch.model.streams.layout import NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS
from stillwatch.model.streams.observation import Projection, observe_request
from stillwatch.model.streams.state import MAX_STATE_BYTES, AccountState
from stillwatch.model.windows import Windower
from stillwatch.serve.audit import find_record
from stillwatch.serve.explaining import render_record
from stillwatch.serve.service.guardrail_api import read_guardrail_call
from stillwatch.serve.service.reading import (
    ACCOUNT_HEADER,
    DEADLINE_HEADER,
    TIME_HEADER,
    Sender,
    decode_object,
    read_batch,
    read_deadline_s,
    read_request,
    read_sender,
)
from stillwatch.serve.service.secrecy import load_api_keys, load_hasher
from stillwatch.serve.service.settings import QueueConfig, RequestLimitsConfig

CASES = int(os.environ.get("STILLWATCH_FUZZ_CASES", "1500"))
LIMITS = RequestLimitsConfig(max_characters=4_000, max_batch_requests=2, max_json_depth=70)
SMALL = Limits(max_characters=4_000, max_messages=5, max_depth=64, max_tools=3, max_line_bytes=2_000)
FILES = st.dictionaries(st.sampled_from([TOKENIZER, "../x", "/x", "x"]), st.text(max_size=3)) | st.integers()
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**32 - 1, 4e9, 1e300])

Attempt = Any
"""An `Attempts` of `conftest.py`."""
Bodies = st.SearchStrategy[dict[str, Any]]
Texts = st.SearchStrategy[str]


def fuzz(share: float) -> settings:
    """So many of all cases; nothing is timed, and what is slow to draw is drawn all the same."""
    return settings(max_examples=max(10, round(CASES * share)), deadline=None, suppress_health_check=list(HealthCheck))


@fuzz(0.17)
@given(data=st.data())
def test_posted_bytes_are_read_or_refused(data: st.DataObject, attempt: Attempt, calls: st.SearchStrategy[Any]) -> None:
    raw = data.draw(st.binary(max_size=60) | calls.map(lambda call: json.dumps(call).encode()) | calls.map(_spoil))
    value = attempt(lambda: decode_object(raw, LIMITS.max_json_depth), kind="posted")
    if value is None:
        return
    told = attempt(lambda: read_request(value, Sender(), LIMITS, account_from_body=True), kind="posted")
    assert told is None or told.num_characters <= LIMITS.max_characters
    for item in attempt(lambda: read_batch(value, LIMITS), kind="batches") or []:
        attempt(lambda item=item: read_request(item, Sender("a", 1.0), LIMITS, account_from_body=False), kind="batches")


@fuzz(0.05)
@given(data=st.data())
def test_litellms_questions_are_read_or_refused(
    data: st.DataObject, attempt: Attempt, bodies: Bodies, values: st.SearchStrategy[Any], texts: Texts
) -> None:
    call = data.draw(
        st.fixed_dictionaries(
            {"input_type": st.just("request") | texts},
            optional={
                "structured_messages": bodies.map(lambda body: body["messages"]) | values,
                "texts": st.lists(texts) | values,
                "tools": values,
                "request_data": st.dictionaries(st.just("user_api_key_hash") | texts, texts, max_size=2) | values,
                "litellm_call_id": texts | values,
            },
        )
    )
    attempt(lambda: read_guardrail_call(call, LIMITS, data.draw(st.sampled_from(["key", "end_user"]))), kind="litellm")


@fuzz(0.05)
@given(data=st.data())
def test_headers_are_read_or_refused(data: st.DataObject, attempt: Attempt, texts: Texts) -> None:
    latin = texts.map(lambda text: text.encode("utf-8", "surrogatepass").decode("latin-1"))
    header = latin | st.floats().map(str) | st.integers().map(str) | st.sampled_from(["1_0", "1e400", " 5 ", "\xb2"])
    names = (ACCOUNT_HEADER, TIME_HEADER, DEADLINE_HEADER)
    headers = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, header)))
    sender = attempt(lambda: read_sender(Headers(headers)), kind="headers")
    assert sender is None or sender.time_s is None or 0 <= sender.time_s <= time.time() + 86_400
    deadline_s = attempt(lambda: read_deadline_s(Headers(headers), QueueConfig()), kind="headers")
    assert deadline_s is None or 0.1 <= deadline_s <= 1


@fuzz(0.20)
@given(data=st.data())
def test_requests_are_parsed_rendered_and_cut_or_refused(
    data: st.DataObject, attempt: Attempt, bodies: Bodies, tiny_bundle: Bundle
) -> None:
    request = attempt(lambda: parse_request(data.draw(bodies), SMALL), kind="requests")
    if request is None:
        return
    windows = Windower.load(tiny_bundle.tokenizer, tiny_bundle.window_config).cut(request)
    assert len(windows.ids) >= 1
    assert max(map(len, windows.ids)) <= tiny_bundle.window_config.max_tokens
    for segment in render(request).segments:
        segment.text.encode()  # whatever stood there, a tokenizer can read it


@fuzz(0.03)
@given(data=st.data())
def test_rows_are_parsed_or_refused(
    data: st.DataObject, attempt: Attempt, bodies: Bodies, values: st.SearchStrategy[Any], texts: Texts
) -> None:
    names = ("id", "source", "family", "label", "technique", "visibility", "session", "lang", "license", "attributes")
    kind = texts | values | st.sampled_from(["benign", "extraction", "ambiguous", "request", "coding_analysis"])
    row = data.draw(bodies) | data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, kind)))
    attempt(lambda: parse_labelled(row), kind="rows")


@fuzz(0.08)
@given(data=st.data())
def test_lines_are_rows_or_say_what_they_are(data: st.DataObject, attempt: Attempt, values: Any) -> None:
    line = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())
    raw = b"\n".join(data.draw(st.lists(line | st.just(b"[" * 1500), max_size=4)))
    stream: Any = io.BytesIO(raw)
    if data.draw(st.booleans()):
        stream = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(raw)[: data.draw(st.integers(0, 400))]))
    rows = attempt(lambda: list(iter_lines(stream, "file", SMALL)), kind="lines")
    for row in rows:
        if isinstance(row.value, InputError):
            attempt.check_silent(row.value, row.value.args)


@fuzz(0.05)
@given(data=st.data())
def test_a_manifest_is_loaded_or_refused(
    data: st.DataObject, attempt: Attempt, values: st.SearchStrategy[Any], scratch_bundle: Path
) -> None:
    manifest = json.loads((scratch_bundle / "as_sealed").read_bytes())
    for name in data.draw(st.lists(st.sampled_from(sorted(manifest)), max_size=2)):
        manifest[name] = data.draw(values | NUMBERS if name != "files" else FILES)
    raw = json.dumps(manifest).encode()
    if not data.draw(st.integers(0, 3)):
        raw = data.draw(st.binary(max_size=60) | st.just(raw[: data.draw(st.integers(0, len(raw)))]))
    (scratch_bundle / "bundle" / MANIFEST).write_bytes(raw)
    attempt(lambda: load_bundle(scratch_bundle / "bundle"), kind="manifests")


@fuzz(0.14)
@given(data=st.data())
def test_bytes_of_a_state_are_taken_up_or_dropped(
    data: st.DataObject, attempt: Attempt, grown_states: list[bytes]
) -> None:
    raw = bytearray(data.draw(st.sampled_from(grown_states)))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[place] = data.draw(st.integers(0, 255))
    cut = bytes(raw) if data.draw(st.integers(0, 3)) else data.draw(st.binary(max_size=90) | st.just(bytes(raw[:-3])))
    state = attempt(lambda: AccountState.from_bytes(cut), kind="states")
    if state is not None:
        others = Others(*data.draw(st.tuples(*[st.floats(0, 1e6)] * 4)))
        vector = state.update(observe_anything(), data.draw(st.none() | st.floats()), others)
        state.record_logit(data.draw(st.floats(-50, 50)), review_logit=1.0)
        assert np.isfinite(vector).all()
        assert np.isfinite(state.read_window()).all()
        assert len(state.to_bytes()) <= MAX_STATE_BYTES
        AccountState.from_bytes(state.to_bytes())


@fuzz(0.08)
@given(data=st.data())
def test_an_audit_is_searched_and_explained_or_refused(
    data: st.DataObject, attempt: Attempt, values: st.SearchStrategy[Any], texts: Texts, scratch: Path
) -> None:
    names = st.sampled_from(["id", "request", "reasons", "time_s", "[/]", "[red]"]) | texts
    record = st.dictionaries(names, values | st.lists(st.just("tool_use") | values), max_size=4)
    line = (
        st.binary(max_size=40) | record.map(lambda each: json.dumps(each | {"id": "it"}).encode()) | values.map(_dump)
    )
    (scratch / "audit.jsonl").write_bytes(b"\n".join(data.draw(st.lists(line | st.just(b"[" * 3000), max_size=3))))
    found = attempt(lambda: find_record(scratch / "audit.jsonl", "it"), kind="audits")
    if found is not None:
        out = io.TextIOWrapper(io.BytesIO(), "utf-8")
        Console(file=out).print(render_record(found))


@fuzz(0.02)
@given(data=st.data())
def test_files_of_keys_are_read_or_refused(data: st.DataObject, attempt: Attempt, texts: Texts, scratch: Path) -> None:
    line = texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.just(b"name:" + b"0" * 64) | st.binary()
    (scratch / "keys").write_bytes(b"\n".join(data.draw(st.lists(line, max_size=4))))
    attempt(lambda: load_api_keys(scratch / "keys"), kind="keys")
    attempt(lambda: load_hasher(scratch / "keys", {}), kind="keys")


@fuzz(0.06)
@given(data=st.data())
def test_whatever_can_be_parsed_is_scored_and_quoted_nowhere(
    data: st.DataObject, attempt: Attempt, bodies: Bodies, tiny_scorer: Scorer
) -> None:
    request = attempt(lambda: parse_request(data.draw(bodies), SMALL), kind="scored")
    if request is None:
        return
    verdict = tiny_scorer.score(request)
    assert 0 <= verdict.probability <= 1
    assert math.isfinite(verdict.logit)
    assert verdict.action in Action
    attempt.check_silent(verdict.to_dict() | {"id": None})


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()


def _spoil(call: object) -> bytes:
    """JSON of which something is missing."""
    raw = json.dumps(call).encode()
    return raw[: len(raw) * 2 // 3] + raw[len(raw) * 2 // 3 + 1 :]


ZEROS = Projection(
    np.zeros(0, np.float32),
    np.zeros((0, NUM_ATTRIBUTE_SLOTS), np.float32),
    np.zeros(3, np.float32),
    np.ones((3, NUM_EMBEDDING_SLOTS), np.float32),
)


def observe_anything(number: int = 0) -> Any:
    """An observation of a request of several turns."""
    roles = ("system", "user", "assistant", "user")
    turns = [{"role": role, "content": f"{role} hello {number % 7}"} for role in roles]
    logits = RequestLogits(0.5, np.zeros(5, np.float32), np.zeros(0, np.float32), np.ones(3, np.float32), 0)
    request: Request = parse_request({"messages": turns, "temperature": 1e300, "max_tokens": 2**62})
    return observe_request(request, logits, ZEROS)


@pytest.fixture(scope="session")
def grown_states() -> list[bytes]:
    """States after no, a few and very many requests."""
    states = []
    for length in (0, 3, 200):
        state = AccountState()
        for number in range(length):
            state.update(observe_anything(number), 1e9 + number, Others(1.0, 2.0, 3.0, 4.0))
            state.record_logit(0.5 + number, review_logit=1.0)
        states.append(state.to_bytes())
    return states


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="session")
def scratch_bundle(tiny_bundle: Bundle, scratch: Path) -> Path:
    shutil.copytree(tiny_bundle.folder, scratch / "bundle")
    shutil.copyfile(tiny_bundle.folder / MANIFEST, scratch / "as_sealed")
    return scratch


@pytest.fixture(scope="session")
def tiny_scorer(tiny_bundle: Bundle) -> Scorer:
    return Scorer.load(tiny_bundle.folder)

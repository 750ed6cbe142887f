"""The scorer follows an account's stream where states are kept, and scores the request alone where not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import STREAM_JSON, STREAM_ONNX, Bundle, seal_bundle
from stillwatch.model.calibration import Action
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.allow_list import AllowList, hash_account
from stillwatch.model.streams.detector import StreamModel
from stillwatch.model.streams.layout import NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.model.streams.verdict import StreamReason

KEY = bytes(range(32))
FORM = "Write out every step of the reasoning for this exercise number {}"


def seal_with_stream(bundle: Bundle, folder: Path, model: StreamModel, network: onnx.ModelProto) -> Bundle:
    """The bundle with a stream model that is told to fit its request model."""
    copied = Path(shutil.copytree(bundle.folder, folder))
    num_attributes, width = len(bundle.manifest.attributes), bundle.manifest.embedding_width
    fitted = model.model_copy(
        update={
            "attribute_offset": (0.0,) * num_attributes,
            "attribute_matrix": ((0.5,) * NUM_ATTRIBUTE_SLOTS,) * num_attributes,
            "embedding_offset": (0.0,) * width,
            "embedding_matrix": ((0.5,) * NUM_EMBEDDING_SLOTS,) * width,
            "calibration": model.calibration.model_copy(update={"review_logit": 0.1, "flag_logit": 0.2}),
        }
    )
    (copied / STREAM_JSON).write_text(fitted.model_dump_json(), "utf-8")
    onnx.save(network, str(copied / STREAM_ONNX))
    return seal_bundle(copied, bundle.manifest)


@pytest.fixture(scope="module")
def scorer(
    tiny_bundle: Bundle,
    stream_model: StreamModel,
    mean_network: onnx.ModelProto,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scorer:
    folder = tmp_path_factory.mktemp("both") / "bundle"
    return Scorer.load(seal_with_stream(tiny_bundle, folder, stream_model, mean_network).folder)


def ask(text: str, account: str | None = None, time_s: float | None = None) -> Request:
    return Request((Message(Role.USER, text),), account=account, time_s=time_s)


def test_an_account_s_requests_add_up_and_other_accounts_are_left_alone(scorer: Scorer) -> None:
    states = MemoryStateStore()
    for number in range(3):
        stream = scorer.score(ask(FORM.format(number)), account="a", time_s=60.0 * number, states=states).stream
        assert stream is not None
        assert stream.num_requests == number + 1
    other = scorer.score(ask(FORM.format(1)), account="b", time_s=0.0, states=states).stream
    assert other is not None
    assert other.num_requests == 1


def test_the_request_s_own_account_and_time_are_taken_where_none_is_told(scorer: Scorer) -> None:
    told, own = MemoryStateStore(), MemoryStateStore()
    for number in range(3):
        one = scorer.score(ask(FORM.format(number)), account="a", time_s=7.0 * number, states=told)
        two = scorer.score(ask(FORM.format(number), "a", 7.0 * number), states=own)
        assert one == two
        assert one.stream is not None


def test_without_an_account_or_states_or_a_stream_model_the_request_alone_is_scored(
    scorer: Scorer, tiny_bundle: Bundle
) -> None:
    request = ask("reasoning " * 10)
    alone = scorer.score(request)
    assert alone.stream is None
    assert scorer.score(request, states=MemoryStateStore()) == alone == scorer.score(request, account="a")
    plain = Scorer.load(tiny_bundle.folder).score(request, account="a", states=MemoryStateStore())
    assert plain.stream is None
    assert (plain.logit, plain.action) == (alone.logit, alone.action)


def test_the_request_s_own_verdict_is_the_same_with_its_stream_as_without(scorer: Scorer) -> None:
    request = ask("reasoning " * 10)
    followed = scorer.score(request, account="a", states=MemoryStateStore())
    alone = scorer.score(request)
    assert (followed.logit, followed.action, followed.reasons) == (alone.logit, alone.action, alone.reasons)


def test_an_account_is_flagged_and_a_form_that_others_sent_is_named(scorer: Scorer) -> None:
    states, counter = MemoryStateStore(), MemoryAccountCounter()
    text, found = "reasoning " * 40 + FORM, {}
    for account in "abcd":
        for number in range(4):
            request = ask(text.format(number), account, 1e9 + number)
            found[account] = scorer.score(request, states=states, counter=counter).stream
    assert all(stream is not None and stream.action is Action.FLAG for stream in found.values())
    first, last = found["a"], found["d"]
    assert first is not None
    assert last is not None
    assert StreamReason.SKELETON_SHARED in last.reasons
    assert StreamReason.SKELETON_SHARED not in first.reasons


def test_the_allow_list_reaches_the_stream(scorer: Scorer) -> None:
    listed = AllowList(KEY, {hash_account("a", KEY): "evaluation team"})
    stream = scorer.score(ask("hello"), account="a", states=MemoryStateStore(), allow_list=listed).stream
    assert stream is not None
    assert stream.note == "evaluation team"


def test_a_verdict_with_a_stream_is_json_without_text_or_account(scorer: Scorer) -> None:
    verdict = scorer.score(ask("zanzibar reasoning"), account="zanzibar-account", states=MemoryStateStore())
    written = json.dumps(verdict.to_dict())
    assert "zanzibar" not in written
    assert json.loads(written)["stream"]["num_requests"] == 1


def test_a_stream_model_of_another_request_model_is_refused(
    tiny_bundle: Bundle, stream_model: StreamModel, mean_network: onnx.ModelProto, tmp_path: Path
) -> None:
    bundle = seal_with_stream(tiny_bundle, tmp_path / "bundle", stream_model, mean_network)
    (bundle.folder / STREAM_JSON).write_text(stream_model.model_dump_json(), "utf-8")
    seal_bundle(bundle.folder, bundle.manifest)
    with pytest.raises(BundleError, match="another request model"):
        Scorer.load(bundle.folder)


def test_many_requests_follow_their_streams_as_one_by_one(scorer: Scorer) -> None:
    requests = [ask(FORM.format(number), "ab"[number % 2], 60.0 * number) for number in range(6)]
    one_by_one, together = MemoryStateStore(), MemoryStateStore()
    verdicts = scorer.score_many(requests, states=together, counter=MemoryAccountCounter())
    counter = MemoryAccountCounter()
    assert verdicts == [scorer.score(request, states=one_by_one, counter=counter) for request in requests]
    assert [verdict.stream.num_requests for verdict in verdicts if verdict.stream] == [1, 1, 2, 2, 3, 3]

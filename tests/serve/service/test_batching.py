"""The queue is bounded, batches only while workers are busy, keeps deadlines, and answers all that it let in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from threading import Event

import pytest

from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import Bundle
from stillwatch.model.scorer import Scorer
from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.batching import Batcher, Timing
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.settings import QueueConfig

LONG_S = 60.0


def ask(text: str) -> Request:
    return Request((Message(Role.USER, text),), id=text[:8])


class Gated:
    """A scorer whose first call waits until it is told to go on; texts that begin with `break` break it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer, self.is_busy, self.go, self.sizes = scorer, Event(), Event(), list[int]()

    def score(self, requests: Sequence[Request]) -> list[Verdict]:
        self.sizes.append(len(requests))
        self.is_busy.set()
        assert self.go.wait(LONG_S)
        if any(request.messages[0].content.startswith("break") for request in requests):
            raise OSError("zanzibar")
        return self.scorer.score_many(requests)


@pytest.fixture
def gated(tiny_bundle: Bundle) -> Gated:
    return Gated(Scorer.load(tiny_bundle.folder))


@pytest.fixture
def reported() -> list[Exception]:
    return []


@pytest.fixture
def batcher(gated: Gated, reported: list[Exception]) -> Iterator[Batcher[Request, tuple[str | None, Timing]]]:
    config = QueueConfig(num_workers=1, max_requests=4, max_tokens=1000, batch_tokens=50)
    made: Batcher[Request, tuple[str | None, Timing]] = Batcher(
        config, gated.score, lambda request, _, timing: (request.id, timing), lambda error, _: reported.append(error)
    )
    yield made
    gated.go.set()
    made.close()


Answers = Batcher[Request, tuple[str | None, Timing]]


def submit(batcher: Answers, *texts: str, within_s: float = LONG_S) -> list[Future[tuple[str | None, Timing]]]:
    return batcher.submit([ask(text) for text in texts], time.monotonic() + within_s)


def test_what_waits_while_the_worker_is_busy_is_scored_together_up_to_the_tokens(
    batcher: Answers, gated: Gated
) -> None:
    first = submit(batcher, "first")
    assert gated.is_busy.wait(LONG_S)
    later = submit(batcher, "second", "third", "x" * 180, "fifth")
    gated.go.set()
    assert [each.result(LONG_S)[0] for each in first + later] == ["first", "second", "third", "x" * 8, "fifth"]
    assert gated.sizes == [1, 3, 1]
    assert later[0].result()[1].batch_requests == 3


def test_a_full_queue_refuses_at_once_all_or_none(batcher: Answers, gated: Gated) -> None:
    first = submit(batcher, "first")
    assert gated.is_busy.wait(LONG_S)
    waiting = submit(batcher, "second", "third")
    for texts in (("a", "b", "c"), ("x" * 4000,)):
        started_s = time.monotonic()
        with pytest.raises(RefusedError) as refused:
            submit(batcher, *texts)
        assert refused.value.code is Code.QUEUE_FULL
        assert refused.value.retry_after_s >= 1
        assert time.monotonic() - started_s < 1
    assert batcher.num_waiting == 2
    gated.go.set()
    assert all(each.result(LONG_S) for each in first + waiting)
    assert batcher.num_tokens_waiting == 0


def test_who_would_be_late_behind_what_is_being_scored_is_refused_at_once(tiny_bundle: Bundle) -> None:
    scorer, is_busy = Scorer.load(tiny_bundle.folder), Event()

    def score_slowly(requests: Sequence[Request]) -> list[Verdict]:
        is_busy.set()
        time.sleep(0.5)
        return scorer.score_many(requests)

    made: Answers = Batcher(
        QueueConfig(num_workers=1), score_slowly, lambda request, _, timing: (request.id, timing), lambda *_: None
    )
    try:
        submit(made, "known")[0].result(LONG_S)  # from here on it knows how long a request takes
        is_busy.clear()
        first = submit(made, "first", within_s=0.6)
        assert is_busy.wait(LONG_S)
        with pytest.raises(RefusedError) as refused:
            submit(made, "second", within_s=0.6)
        assert refused.value.code is Code.QUEUE_FULL
        third = submit(made, "third")
        assert all(each.result(LONG_S) for each in first + third)
    finally:
        made.close()


def test_a_request_larger_than_the_queue_is_let_in_alone(batcher: Answers, gated: Gated) -> None:
    gated.go.set()
    (answer,) = submit(batcher, "hello " * 2000)
    assert answer.result(LONG_S)


def test_what_waited_beyond_its_deadline_is_refused_unscored(batcher: Answers, gated: Gated) -> None:
    first = submit(batcher, "first")
    assert gated.is_busy.wait(LONG_S)
    (late,) = submit(batcher, "late", within_s=0.01)
    time.sleep(0.05)
    gated.go.set()
    with pytest.raises(RefusedError) as refused:
        late.result(LONG_S)
    assert refused.value.code is Code.DEADLINE
    assert first[0].result(LONG_S)
    assert gated.sizes == [1]


def test_what_was_given_up_is_not_scored(batcher: Answers, gated: Gated) -> None:
    submit(batcher, "first")
    assert gated.is_busy.wait(LONG_S)
    (gone,) = submit(batcher, "gone")
    assert gone.cancel()
    gated.go.set()
    batcher.close()
    assert gated.sizes == [1]


def test_one_request_that_breaks_the_scorer_fails_alone(
    batcher: Answers, gated: Gated, reported: list[Exception]
) -> None:
    first = submit(batcher, "first")
    assert gated.is_busy.wait(LONG_S)
    before, broken, after = submit(batcher, "before", "break", "after")
    gated.go.set()
    assert [each.result(LONG_S)[0] for each in (*first, before, after)] == ["first", "before", "after"]
    with pytest.raises(RefusedError) as refused:
        broken.result(LONG_S)
    assert refused.value.code is Code.SCORER_FAILED
    assert "zanzibar" not in str(refused.value) + refused.value.message
    assert [type(each) for each in reported] == [OSError, OSError]


def test_closing_answers_all_that_was_let_in_and_lets_nothing_more_in(batcher: Answers, gated: Gated) -> None:
    answers = submit(batcher, "first") + submit(batcher, "second", "third")
    gated.go.set()
    batcher.close()
    assert all(each.done() and each.result() for each in answers)
    with pytest.raises(RefusedError) as refused:
        submit(batcher, "more")
    assert refused.value.code is Code.DRAINING

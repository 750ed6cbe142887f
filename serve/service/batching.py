"""The queue in front of the scorer: bounded, batched by tokens, with a deadline a request, and drained on leaving.

Workers take what waits as soon as they are free, so a batch forms only while all of them are busy: nobody waits for
company (Crankshaw et al., Clipper, 2017, call it adaptive batching). What cannot be answered in time is refused when
it comes. Every job that was let in gets its result or an error, whatever happens.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Generic, TypeVar

from stillwatch.data.records import Request
from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.settings import QueueConfig

R = TypeVar("R", bound=Request)
T = TypeVar("T")

_MEMORY = 0.1  # weight of the newest batch in the moving average of seconds a token


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a request took, in seconds.

    Attributes:
        started_s: when the scoring of its batch began, by `time.monotonic`.
        queue_s: waiting until then.
        scoring_s: scoring its batch.
        batch_requests: requests of the batch.
        is_late: whether its deadline had passed when it was scored.
    """

    started_s: float
    queue_s: float
    scoring_s: float
    batch_requests: int
    is_late: bool


@dataclass(slots=True, eq=False)
class _Job(Generic[R, T]):
    request: R
    tokens: int
    deadline_s: float
    since_s: float
    result: Future[T] = field(default_factory=Future)


class Batcher(Generic[R, T]):
    """Worker threads behind a bounded queue. Thread-safe."""

    def __init__(
        self,
        config: QueueConfig,
        score: Callable[[Sequence[R]], Sequence[Verdict]],
        finish: Callable[[R, Verdict, Timing], T],
        report: Callable[[Exception, Sequence[R]], None],
    ) -> None:
        """Start the workers.

        Args:
            config: bounds of queue and batch.
            score: verdicts on a batch, in order.
            finish: makes of a verdict what the caller gets; runs in the worker.
            report: told of what `score` or `finish` raised, and over which requests; the callers get a refusal.
        """
        self._config, self._score, self._finish, self._report = config, score, finish, report
        self._waiting: deque[_Job[R, T]] = deque()
        self._tokens = 0
        self._s_per_token = 0.0
        self._is_closing = False
        self._changed = Condition()
        # daemons, so that inside somebody else's process they keep nobody from leaving; `close` waits for them
        self._workers = [Thread(target=self._work, name=f"scorer-{n}", daemon=True) for n in range(config.num_workers)]
        for worker in self._workers:
            worker.start()

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def num_tokens_waiting(self) -> int:
        """Estimated tokens that wait."""
        return self._tokens

    def submit(self, requests: Sequence[R], deadline_s: float) -> list[Future[T]]:
        """Let requests in, all or none.

        Args:
            requests: what to score.
            deadline_s: when their answers are worth nothing any more, by `time.monotonic`.

        Raises:
            RefusedError: the queue is full or too long for the deadline, or closed.
        """
        now_s = time.monotonic()
        jobs: list[_Job[R, T]] = [_Job(request, estimate_tokens(request), deadline_s, now_s) for request in requests]
        tokens = sum(job.tokens for job in jobs)
        with self._changed:
            if self._is_closing:
                raise RefusedError(Code.DRAINING)
            if self._waiting:
                wait_s = self._tokens * self._s_per_token / len(self._workers)
                is_full = (
                    len(self._waiting) + len(jobs) > self._config.max_requests
                    or self._tokens + tokens > self._config.max_tokens
                )
                if is_full or now_s + wait_s > deadline_s:
                    raise RefusedError(Code.QUEUE_FULL, retry_after_s=max(1, math.ceil(wait_s)))
            self._waiting += jobs
            self._tokens += tokens
            self._changed.notify(len(jobs))
        return [job.result for job in jobs]

    def close(self) -> None:
        """Let nothing more in, answer what waits, and stop the workers."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while batch := self._take():
            self._answer(batch)

    def _take(self) -> list[_Job[R, T]]:
        """The next batch, at least one job; none when closed and nothing waits."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return []
                batch: list[_Job[R, T]] = []
                tokens, now_s = 0, time.monotonic()
                while self._waiting and (not batch or tokens + self._waiting[0].tokens <= self._config.batch_tokens):
                    job = self._waiting.popleft()
                    self._tokens -= job.tokens
                    if not job.result.set_running_or_notify_cancel():
                        continue  # whoever asked has gone
                    if now_s > job.deadline_s:
                        job.result.set_exception(RefusedError(Code.DEADLINE))
                        continue
                    batch.append(job)
                    tokens += job.tokens
                if batch:
                    return batch

    def _answer(self, batch: list[_Job[R, T]]) -> None:
        started_s = time.monotonic()
        requests = [job.request for job in batch]
        try:
            verdicts = self._score(requests)
        except Exception as error:  # noqa: BLE001 - a worker that dies would take the service with it
            self._report(error, requests)
            if len(batch) == 1:
                batch[0].result.set_exception(RefusedError(Code.SCORER_FAILED))
            else:  # only the request at fault should fail
                for job in batch:
                    self._answer([job])
            return
        ended_s = time.monotonic()
        spent_s = (ended_s - started_s) / sum(job.tokens for job in batch)
        with self._changed:
            self._s_per_token += (_MEMORY if self._s_per_token else 1.0) * (spent_s - self._s_per_token)
        for job, verdict in zip(batch, verdicts, strict=True):
            waited_s, is_late = started_s - job.since_s, ended_s > job.deadline_s
            timing = Timing(started_s, waited_s, ended_s - started_s, len(batch), is_late)
            try:
                job.result.set_result(self._finish(job.request, verdict, timing))
            except Exception as error:  # noqa: BLE001 - as above
                self._report(error, [job.request])
                job.result.set_exception(RefusedError(Code.SCORER_FAILED))


def estimate_tokens(request: Request) -> int:
    """Roughly the tokens of a request, without cutting it: a quarter of its characters, at least one."""
    return 1 + request.num_characters // 4

"""The queue in front of the scorer: bounded, batched by tokens, with a deadline a request, and drained on leaving.

Workers take what waits as soon as they are free, so a batch forms only while all of them are busy: nobody waits for
company (Crankshaw et al., Clipper, 2017, call it adaptive batching). What would not be answered in time is refused
when it comes: work on an answer that is too late is lost to those behind it. Every job that was let in gets its result
or an error, whatever happens.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread, get_ident
from typing import Generic, TypeVar

from stillwatch.data.records import Request
from stillwatch.model.verdict import Verdict
from stillwatch.serve.service.pace import Pace, estimate_effort, estimate_tokens
from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.settings import QueueConfig

R = TypeVar("R", bound=Request)
T = TypeVar("T")


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
    effort: float
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
        self._tokens, self._effort, self._pace = 0, 0.0, Pace()
        self._at_work: dict[int, tuple[float, float]] = {}  # by worker: since when, and how much effort
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
        remembers = self._config.cache_bytes > 0
        jobs: list[_Job[R, T]] = [
            _Job(one, estimate_tokens(one), estimate_effort(one, remembers=remembers), deadline_s, now_s)
            for one in requests
        ]
        tokens = sum(job.tokens for job in jobs)
        with self._changed:
            if self._is_closing:
                raise RefusedError(Code.DRAINING)
            if self._waiting or len(self._at_work) == len(self._workers):
                wait_s = self._estimate_wait_s(now_s)
                is_full = self._waiting and (
                    len(self._waiting) + len(jobs) > self._config.max_requests
                    or self._tokens + tokens > self._config.max_tokens
                )
                if is_full or now_s + wait_s + self._estimate_batch_s(jobs) > deadline_s:
                    raise RefusedError(Code.QUEUE_FULL, retry_after_s=max(1, math.ceil(wait_s)))
            self._waiting += jobs
            self._tokens += tokens
            self._effort += sum(job.effort for job in jobs)
            self._changed.notify(len(jobs))
        return [job.result for job in jobs]

    def _estimate_wait_s(self, now_s: float) -> float:
        """Until all that is here now is scored."""
        s_per_token = self._pace.s_per_token
        begun_s = sum(max(0.0, effort * s_per_token - (now_s - since_s)) for since_s, effort in self._at_work.values())
        return (self._effort * s_per_token + begun_s) / len(self._workers)

    def _estimate_batch_s(self, jobs: Sequence[_Job[R, T]]) -> float:
        """How long the batch takes that the first of these jobs is answered with: what waits fills it up."""
        effort = min(job.effort for job in jobs)
        return max(effort, min(self._config.batch_tokens, self._effort + effort)) * self._pace.s_per_token

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
            self._at_work.pop(get_ident(), None)
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return []
                batch: list[_Job[R, T]] = []
                tokens, now_s = 0, time.monotonic()
                while self._waiting and (not batch or tokens + self._waiting[0].tokens <= self._config.batch_tokens):
                    job = self._waiting.popleft()
                    self._tokens -= job.tokens
                    self._effort -= job.effort
                    if not job.result.set_running_or_notify_cancel():
                        continue  # whoever asked has gone
                    if now_s > job.deadline_s:
                        job.result.set_exception(RefusedError(Code.DEADLINE))
                        continue
                    batch.append(job)
                    tokens += job.tokens
                if batch:
                    self._at_work[get_ident()] = (now_s, sum(job.effort for job in batch))
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
        with self._changed:
            self._pace.learn(sum(job.effort for job in batch), ended_s - started_s)
        for job, verdict in zip(batch, verdicts, strict=True):
            waited_s, is_late = started_s - job.since_s, ended_s > job.deadline_s
            timing = Timing(started_s, waited_s, ended_s - started_s, len(batch), is_late)
            try:
                job.result.set_result(self._finish(job.request, verdict, timing))
            except Exception as error:  # noqa: BLE001 - as above
                self._report(error, [job.request])
                job.result.set_exception(RefusedError(Code.SCORER_FAILED))

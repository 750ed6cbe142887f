"""What every way into the service shares: how many calls are in at once, work off the loop, waiting for a verdict.

Nothing here knows routes or replies; the HTTP app and the middleware stand on it alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.replies import ScoreReply
from stillwatch.serve.service.settings import RequestLimitsConfig

T = TypeVar("T")

_ELSEWHERE_BYTES = 64 * 1024  # larger bodies are parsed in a thread, so that the others need not wait


class CallLimit:
    """Counts the calls whose bodies are here, and lets no more in than it may. For one event loop.

    Attributes:
        bodies: what of large bodies may be held, those that are still arriving included.
    """

    def __init__(self, limits: RequestLimitsConfig) -> None:
        """Let nobody in yet."""
        self._places = asyncio.Semaphore(limits.max_in_flight)
        self.bodies = BodyBudget(limits.max_bytes_in_flight)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Take a place for as long as the context lasts.

        Raises:
            RefusedError: none is free.
        """
        if self._places.locked():
            raise RefusedError(Code.TOO_MANY)
        async with self._places:
            yield


class BodyBudget:
    """Counts the bytes of large bodies from their arrival to their answer, and holds no more than it may.

    Small bodies are not counted, so that large ones keep none of them out: `CallLimit` bounds those. Where there is no
    room, the large body that has been arriving for longest gives way, so that nobody keeps the others out by sending
    slowly. For one event loop.
    """

    def __init__(self, max_bytes: int) -> None:
        """Hold nothing yet."""
        self._max_bytes, self._num_bytes = max_bytes, 0
        self._arriving: dict[Held, asyncio.Timeout] = {}

    @contextmanager
    def hold(self) -> Iterator[Held]:
        """Account for a body for as long as the context lasts."""
        held = Held(self)
        try:
            yield held
        finally:
            self._release(held)

    def take(self, held: Held, num_bytes: int, clock: asyncio.Timeout) -> None:
        """See `Held.take`."""
        was_large = held.num_bytes >= _ELSEWHERE_BYTES
        held.num_bytes += num_bytes
        if held.num_bytes < _ELSEWHERE_BYTES:
            return
        self._arriving.setdefault(held, clock)
        self._num_bytes += num_bytes if was_large else held.num_bytes
        while self._num_bytes > self._max_bytes:
            slowest = next(iter(self._arriving))
            if slowest is held:
                raise RefusedError(Code.BODY_SLOW if len(self._arriving) > 1 else Code.TOO_MANY)
            self._arriving[slowest].reschedule(asyncio.get_running_loop().time())
            self._release(slowest)

    def complete(self, held: Held) -> None:
        """See `Held.complete`."""
        self._arriving.pop(held, None)

    def _release(self, held: Held) -> None:
        self._arriving.pop(held, None)
        if held.num_bytes >= _ELSEWHERE_BYTES:
            self._num_bytes -= held.num_bytes
        held.num_bytes = 0


class Held:
    """One body in a budget."""

    def __init__(self, budget: BodyBudget) -> None:
        """Hold nothing yet."""
        self._budget = budget
        self.num_bytes = 0

    def take(self, num_bytes: int, clock: asyncio.Timeout) -> None:
        """Hold more, while the body arrives.

        Args:
            num_bytes: of a piece that came.
            clock: ends the arrival early where others need the room.

        Raises:
            RefusedError: there is no room.
        """
        self._budget.take(self, num_bytes, clock)

    def complete(self) -> None:
        """The body is here: it no longer gives way."""
        self._budget.complete(self)


async def run_by_size(num_bytes: int, work: Callable[[], T]) -> T:
    """Do work on a body of so many bytes: here if it is small, in a thread if not."""
    return work() if num_bytes < _ELSEWHERE_BYTES else await run_in_threadpool(work)


async def wait_for_reply(future: Future[ScoreReply], deadline_s: float) -> ScoreReply:
    """The reply to what was submitted.

    Args:
        future: as `Service.submit` gives it.
        deadline_s: by `time.monotonic`.

    Raises:
        RefusedError: it was not scored, or not in time.
    """
    try:
        async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise RefusedError(Code.DEADLINE) from None

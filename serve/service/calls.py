"""What every way into the service shares: how many calls are in at once, work off the loop, waiting for a verdict.

Nothing here knows routes or replies; the HTTP app and the middleware stand on it alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from stillwatch.serve.service.refusals import Code, RefusedError
from stillwatch.serve.service.replies import ScoreReply

T = TypeVar("T")

_ELSEWHERE_BYTES = 64 * 1024  # larger bodies are parsed in a thread, so that the others need not wait


class CallLimit:
    """Counts the calls that are being read or answered, and lets no more in than it may. For one event loop."""

    def __init__(self, max_in_flight: int) -> None:
        """Let nobody in yet."""
        self._places = asyncio.Semaphore(max_in_flight)

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

"""When each request of a batch visited its account: stores with a stopwatch, for spans.

Nothing of what is stored or asked is kept, and what the inner stores raise goes through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stillwatch.model.streams.accounts import AccountCounter
from stillwatch.model.streams.store import Change, StateStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Visit:
    """From the first question to a store to the last answer, in seconds of `time.monotonic`."""

    started_s: float
    ended_s: float


class VisitClock:
    """A `StateStore` and an `AccountCounter` around others, for one batch in one thread.

    A request counts its account first, where it counts at all, and then changes the state, which ends its visit; so
    does whatever a store raises.

    Attributes:
        visits: one for each request whose account was followed, in their order.
    """

    def __init__(self, states: StateStore, counter: AccountCounter) -> None:
        """Begin with no visit."""
        self._states, self._counter = states, counter
        self._since_s: float | None = None
        self.visits: list[Visit] = []

    def change(self, account: str, change: Change[T]) -> T:
        """See `StateStore.change`."""
        self._begin()
        try:
            return self._states.change(account, change)
        finally:
            self._end()

    def forget(self, account: str) -> None:
        """See `StateStore.forget`."""
        self._states.forget(account)

    def add(self, fingerprints: Sequence[int], account: str, time_s: float) -> list[float]:
        """See `AccountCounter.add`."""
        return self._count(lambda: self._counter.add(fingerprints, account, time_s))

    def count(self, fingerprints: Sequence[int], time_s: float) -> list[float]:
        """See `AccountCounter.count`."""
        return self._count(lambda: self._counter.count(fingerprints, time_s))

    def _count(self, ask: Callable[[], list[float]]) -> list[float]:
        self._begin()
        try:
            return ask()
        except BaseException:
            self._end()
            raise

    def _begin(self) -> None:
        if self._since_s is None:
            self._since_s = time.monotonic()

    def _end(self) -> None:
        if self._since_s is not None:
            self.visits.append(Visit(self._since_s, time.monotonic()))
        self._since_s = None

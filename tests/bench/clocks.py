"""What calls cost, side by side: those that are compared take turns, so that a busy moment falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rows import Cost


class Stopwatch:
    """Collects what calls cost."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float]] = []

    def time(self, call: Callable[[], object]) -> None:
        """Call once and note what it cost: processor time of all threads of the process, and wall time."""
        cpu, wall = time.process_time(), time.perf_counter()
        call()
        self._taken.append((time.process_time() - cpu, time.perf_counter() - wall))

    def read(self, *, calls: int = 1) -> Cost:
        """The medians; where each that was timed made several calls, of one of those."""
        cpu_s, wall_s = map(statistics.median, zip(*self._taken, strict=True))
        return Cost(cpu_s * 1000 / calls, wall_s * 1000 / calls)


def time_by_turns(*calls: Callable[[], object], rounds: int) -> list[Cost]:
    """What calls that take turns cost, in their order, after one call of each that is not counted."""
    watches = [Stopwatch() for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for watch, call in zip(watches, calls, strict=True):
            watch.time(call)
    return [watch.read() for watch in watches]

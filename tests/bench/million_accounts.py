"""A million accounts through one scorer, in one process: pace, cost of a step, memory, bounds, expiry.

Run it with `make bench-accounts`, or less of it: `.venv/bin/python tests/bench/million_accounts.py --accounts 20000`.
The real `Scorer.score` with the shipped bundle, on onnxruntime with one thread; states in a `MemoryStateStore` sized
for the crowd, accounts counted over skeletons in a `MemoryAccountCounter`. Texts repeat, so that the cache knows them:
the pace is that of following accounts, not of reading new texts, whose cost is measured beside it. Most accounts
send one request; what an account with a full window takes is measured on a store filled with such states.

With `--minutes` the crowd stops coming in time, and the report says how many came. Memory is read from Linux's /proc.
It measures no detection, no network and no second process.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clocks import time_by_turns
from crowd import START_S, Arrival, Crowd, generate_texts
from crowd_report import Bound, Expiry, Report, Spread
from stillwatch.data.records import Request
from stillwatch.model.bundle import DEFAULT_BUNDLE
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.layout import WINDOW
from stillwatch.model.streams.store import Change, MemoryStateStore, StateStore
from stillwatch.serve import BundleError, Scorer, StillwatchError

T = TypeVar("T")

SILENCE_S = 31 * 86_400.0
"""How long nobody comes; states are kept for 30 days."""
MOST_BESIDE = 10_000
"""Accounts at most of the measurements beside the crowd."""


class Costs:
    """Processor time of calls of one kind, in microseconds, in room that is taken at the start."""

    def __init__(self, most: int) -> None:
        self._taken_us = np.full(most, np.nan, np.float32)  # not zeros: memory that was never written is not taken yet
        self._num = 0

    @contextmanager
    def time(self) -> Iterator[None]:
        """Note what the block costs this thread."""
        begin = time.thread_time_ns()
        yield
        self._taken_us[self._num] = (time.thread_time_ns() - begin) / 1000
        self._num += 1

    def read(self, begin: float = 0.0, end: float = 1.0) -> Spread:
        """What calls cost, those from one share of the run to another."""
        return Spread.read(self._taken_us[int(self._num * begin) : max(int(self._num * end), 1)])


class TimedStates:
    """A store whose changes are timed."""

    def __init__(self, states: StateStore, costs: Costs) -> None:
        self._states, self._costs = states, costs

    def change(self, account: str, change: Change[T]) -> T:
        """See `StateStore.change`."""
        with self._costs.time():
            return self._states.change(account, change)

    def forget(self, account: str) -> None:
        """See `StateStore.forget`."""
        self._states.forget(account)


class TimedCounter:
    """A counter whose additions are timed."""

    def __init__(self, costs: Costs) -> None:
        self._counter, self._costs = MemoryAccountCounter(), costs

    def add(self, fingerprints: Sequence[int], account: str, time_s: float) -> list[float]:
        """See `AccountCounter.add`."""
        with self._costs.time():
            return self._counter.add(fingerprints, account, time_s)

    def count(self, fingerprints: Sequence[int], time_s: float) -> list[float]:
        """See `AccountCounter.count`."""
        return self._counter.count(fingerprints, time_s)


class Gateway:
    """A scorer whose cache knows all texts, and a clock that requests set."""

    def __init__(self, scorer: Scorer, texts: Sequence[Request], progress: Progress) -> None:
        self.scorer, self.texts, self.progress = scorer, texts, progress
        self.now_s = START_S
        self.counter = MemoryAccountCounter()
        for text in progress.track(texts, description="texts into the cache"):
            scorer.score(text)

    def send(self, arrival: Arrival, states: StateStore, counter: MemoryAccountCounter | TimedCounter) -> None:
        """Score a request and follow its account."""
        self.now_s = arrival.time_s
        request = self.texts[arrival.text]
        self.scorer.score(request, account=arrival.account, time_s=arrival.time_s, states=states, counter=counter)

    def open_store(self, max_accounts: int) -> MemoryStateStore:
        """A store on this clock."""
        return MemoryStateStore(max_accounts=max_accounts, clock=lambda: self.now_s)


def main() -> int:
    """Measure, print, and write the figures where asked."""
    parser = argparse.ArgumentParser(description="A million accounts through one scorer.")
    parser.add_argument("--accounts", type=int, default=1_000_000, help="distinct accounts, at least 100")
    parser.add_argument("--texts", type=int, default=500, help="distinct requests that they send")
    parser.add_argument("--rate", type=float, default=1_000.0, help="requests a second, by the crowd's own clock")
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT_BUNDLE, help="bundle folder; the shipped one if left out"
    )
    parser.add_argument("--minutes", type=float, default=inf, help="stop the crowd so long after the start")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    if arguments.accounts < 100 or arguments.texts < 1 or min(arguments.rate, arguments.minutes) <= 0:
        parser.error("--accounts is 100 at least, --texts 1 at least, --rate and --minutes above 0")
    crowd = Crowd(arguments.accounts, arguments.texts, arguments.rate)
    until_s = time.monotonic() + arguments.minutes * 60
    try:
        report = measure(crowd, arguments.bundle, until_s)
    except StillwatchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(report)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(asdict(report), indent=2), "utf-8")
    return 0


def measure(crowd: Crowd, bundle: Path, until_s: float) -> Report:
    """All of it, the small store first: memory that was once taken hides what is taken later.

    Args:
        crowd: who comes.
        bundle: its folder.
        until_s: when the crowd stops coming, on the monotonic clock.
    """
    scorer = Scorer.load(bundle, runtime="onnxruntime")
    if scorer.stream_layout is None:
        raise BundleError("stream.json: this bundle follows no accounts; name one with a stream model")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        texts = generate_texts(crowd.num_texts, crowd.seed)
        new_text = measure_new_texts(bundle, texts, progress)
        gateway = Gateway(scorer, texts, progress)
        bound = measure_bound(gateway, crowd)
        most = int(crowd.num_accounts / (1 - crowd.again_share) * 1.1) + 10_000
        wholes, steps, counts = Costs(most), Costs(most), Costs(most)
        store = gateway.open_store(crowd.num_accounts)
        states, counter = TimedStates(store, steps), TimedCounter(counts)
        before, wall_s, cpu_s = read_resident_bytes(), time.perf_counter(), time.process_time()
        num_requests, task = 0, progress.add_task("accounts", total=crowd.num_accounts)
        for arrival in crowd:
            with wholes.time():
                gateway.send(arrival, states, counter)
            num_requests += 1
            if num_requests % 500 == 0:
                progress.update(task, completed=len(store))
                if time.monotonic() > until_s:
                    break
        progress.update(task, completed=len(store))
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        resident = (read_resident_bytes() - before) / len(store)
        encoded = measure_encoded(store, crowd.name)
        full_encoded, full_held = measure_full_states(gateway, min(len(store), MOST_BESIDE))
        return Report(
            bundle=scorer.bundle.version,
            num_accounts=len(store),
            num_expected=crowd.num_accounts,
            num_requests=num_requests,
            num_texts=len(texts),
            sent_per_s=crowd.requests_per_s,
            wall_s=wall_s,
            cpu_s=cpu_s,
            whole=wholes.read(),
            step=steps.read(),
            step_at_first=steps.read(0.0, 0.1).p50_ms,
            step_at_last=steps.read(0.9, 1.0).p50_ms,
            count=counts.read(),
            new_text=new_text,
            follow_ms=measure_following(gateway, store),
            encoded_bytes=encoded,
            resident_bytes=resident,
            full_encoded_bytes=full_encoded,
            full_held_bytes=full_held,
            bound=bound,
            expiry=measure_expiry(gateway, store),
        )


def measure_new_texts(bundle: Path, texts: Sequence[Request], progress: Progress) -> Spread:
    """What requests cost whose texts no cache knows, without accounts."""
    scorer, costs = Scorer.load(bundle, runtime="onnxruntime", cache_bytes=0), Costs(len(texts))
    for text in progress.track(texts, description="texts that are new"):
        with costs.time():
            scorer.score(text)
    return costs.read()


def measure_bound(gateway: Gateway, crowd: Crowd) -> Bound:
    """A tenth of the crowd, at most `MOST_BESIDE`, through a store with room for a fifth of these."""
    few = min(crowd.num_accounts // 10, MOST_BESIDE)
    room = few // 5
    store, when_full = gateway.open_store(room), 0
    task = gateway.progress.add_task("a small store", total=few)
    for number, arrival in enumerate(Crowd(few, crowd.num_texts, crowd.requests_per_s, 0.0, name="passing")):
        gateway.send(arrival, store, gateway.counter)
        if number == room:
            when_full = read_resident_bytes()
        gateway.progress.update(task, completed=number + 1)
    return Bound(room, few, len(store), read_resident_bytes() - when_full)


def measure_full_states(gateway: Gateway, num_accounts: int) -> tuple[int, float]:
    """Bytes of a state with a full window, and what a store of so many of them holds for each.

    Allocations are counted: resident memory that the crowd gave back would be taken again, and tell too little.
    """
    store = gateway.open_store(num_accounts + 1)
    for number in range(3 * WINDOW):
        text = number % len(gateway.texts)
        gateway.send(Arrival("busy", gateway.now_s + 60, text), store, gateway.counter)
    state = store.change("busy", _give)
    tracemalloc.start()
    for number in range(num_accounts):
        store.change(f"account-{number:07d}", lambda _: (bytes(bytearray(state)), None))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return len(state), held / num_accounts


def measure_following(gateway: Gateway, store: MemoryStateStore) -> float:
    """Milliseconds that following an account adds to a request whose text is in the cache."""
    arrivals = iter([Arrival("account-0000000", gateway.now_s + 60 * i, i % len(gateway.texts)) for i in range(200)])
    plain = iter([gateway.texts[number % len(gateway.texts)] for number in range(200)])
    followed, alone = time_by_turns(
        lambda: gateway.send(next(arrivals), store, gateway.counter),
        lambda: gateway.scorer.score(next(plain)),
        rounds=150,
    )
    return followed.cpu_ms - alone.cpu_ms


def measure_encoded(store: MemoryStateStore, name: str, *, num_sampled: int = 1_000) -> float:
    """Mean bytes of the states of accounts, some of them, evenly over the order in which they came."""
    numbers = range(0, len(store), max(len(store) // num_sampled, 1))
    return sum(len(store.change(f"{name}-{number:07d}", _give)) for number in numbers) / len(numbers)


def measure_expiry(gateway: Gateway, store: MemoryStateStore) -> Expiry:
    """Let nobody come for longer than states are kept; then change one account's state."""
    num_before, before = len(store), read_resident_bytes()
    gateway.now_s += SILENCE_S
    begin = time.perf_counter()
    store.change("late", lambda _: (b"", None))
    pause_ms = (time.perf_counter() - begin) * 1000
    return Expiry(num_before, len(store), pause_ms, before - read_resident_bytes())


def read_resident_bytes() -> int:
    """Resident memory of this process, now."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def _give(kept: bytes | None) -> tuple[bytes, bytes]:
    return kept or b"", kept or b""


if __name__ == "__main__":
    sys.exit(main())

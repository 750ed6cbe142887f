"""How many accounts sent a skeleton lately: what every counter answers to, and one in memory.

Counts are estimates of distinct accounts within a sliding window of whole buckets, never names: HyperLogLog
(Flajolet et al., 2007) as Apache DataSketches does it, exact up to eight accounts, within about 3% beyond. The
protocol is fit for PFADD and PFCOUNT of Redis: one key a fingerprint and bucket, read as the union over buckets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from datasketches import hll_sketch, hll_union

from stillwatch.model.streams.fingerprint import Fingerprints

_LOG2_REGISTERS = 10
DAY_S = 86_400.0


class AccountCounter(Protocol):
    """Counts distinct accounts for each fingerprint. Implementations are thread-safe and bounded in memory."""

    def add(self, fingerprints: Sequence[int], account: str, time_s: float) -> list[float]:
        """Note that an account sent fingerprints.

        Args:
            fingerprints: as `Fingerprints.shared` gives them.
            account: the account; kept only as part of a sketch.
            time_s: Unix time in seconds; one far from the others takes little from their counts.

        Returns:
            what `count` gives right after.

        Raises:
            StoreError: the counts lie elsewhere, and that is away.
        """
        ...

    def count(self, fingerprints: Sequence[int], time_s: float) -> list[float]:
        """Distinct accounts that sent each fingerprint within the window that ends with `time_s`'s bucket.

        Raises:
            StoreError: as for `add`.
        """
        ...


class MemoryAccountCounter:
    """Counts in this process: buckets of a day, the least recently sent fingerprints forgotten first.

    A fingerprint that one account sent takes about half a kilobyte with its Python objects; one that thousands sent,
    up to a kilobyte a bucket.
    """

    def __init__(self, *, bucket_s: float = DAY_S, num_buckets: int = 7, max_fingerprints: int = 200_000) -> None:
        """Count nothing yet.

        Args:
            bucket_s: length of a bucket in seconds.
            num_buckets: buckets of the window, the current one included.
            max_fingerprints: how many are kept.
        """
        self._bucket_s, self._num_buckets, self._room = bucket_s, num_buckets, max_fingerprints
        self._buckets: OrderedDict[int, dict[int, hll_sketch]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many fingerprints are kept."""
        return len(self._buckets)

    def add(self, fingerprints: Sequence[int], account: str, time_s: float) -> list[float]:
        """See `AccountCounter.add`."""
        now = int(time_s // self._bucket_s)
        with self._lock:
            for fingerprint in fingerprints:
                buckets = self._buckets.setdefault(fingerprint, {})
                self._buckets.move_to_end(fingerprint)
                if now not in buckets:
                    # One wrong time must neither empty a count nor freeze it: room is made by the farthest bucket.
                    if len(buckets) >= self._num_buckets:
                        del buckets[max(buckets, key=lambda number: abs(number - now))]
                    buckets[now] = hll_sketch(_LOG2_REGISTERS)
                buckets[now].update(account)
            while len(self._buckets) > self._room:
                self._buckets.popitem(last=False)
            return [self._estimate(self._buckets.get(fingerprint, {}), now) for fingerprint in fingerprints]

    def count(self, fingerprints: Sequence[int], time_s: float) -> list[float]:
        """See `AccountCounter.count`."""
        now = int(time_s // self._bucket_s)
        with self._lock:
            return [self._estimate(self._buckets.get(fingerprint, {}), now) for fingerprint in fingerprints]

    def _estimate(self, buckets: dict[int, hll_sketch], now: int) -> float:
        current = [sketch for number, sketch in buckets.items() if now - self._num_buckets < number <= now]
        if len(current) <= 1:
            return float(current[0].get_estimate()) if current else 0.0
        union = hll_union(_LOG2_REGISTERS)
        for sketch in current:
            union.update(sketch)
        return float(union.get_estimate())


@dataclass(frozen=True, slots=True)
class Others:
    """How many other accounts sent each kind of skeleton lately: the highest count of the kind's fingerprints."""

    system: float = 0.0
    instruction: float = 0.0
    form: float = 0.0
    opening: float = 0.0


def count_others(counter: AccountCounter, fingerprints: Fingerprints, account: str, time_s: float) -> Others:
    """Add a request's fingerprints under its account, then count the other accounts that sent them.

    Args:
        counter: where accounts are counted.
        fingerprints: the request's.
        account: who sent it.
        time_s: when, Unix time in seconds.
    """
    shared = fingerprints.shared
    counts = dict(zip(shared, counter.add(shared, account, time_s), strict=True))

    def find_most(kind: tuple[int, ...]) -> float:
        return max((max(counts[fingerprint] - 1.0, 0.0) for fingerprint in kind), default=0.0)

    return Others(
        find_most(fingerprints.system),
        find_most(fingerprints.instruction),
        find_most(fingerprints.form),
        find_most(fingerprints.opening),
    )

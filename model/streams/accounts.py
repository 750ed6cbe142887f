"""How many accounts sent a skeleton lately: what every counter answers to, and one in memory.

Counts are estimates of distinct accounts within a sliding window of whole buckets, never names. The protocol is
fit for PFADD and PFCOUNT of Redis: one key a fingerprint and bucket, read as the union over buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stillwatch.model.streams.fingerprint import Fingerprints


class AccountCounter(Protocol):
    """Counts distinct accounts for each fingerprint. Implementations are thread-safe and bounded in memory."""

    def add(self, fingerprints: Sequence[int], account: str, time_s: float) -> None:
        """Note that an account sent fingerprints.

        Args:
            fingerprints: as `Fingerprints.shared` gives them.
            account: the account; kept only as part of a sketch.
            time_s: Unix time in seconds; older than the window is passed over.
        """
        ...

    def count(self, fingerprints: Sequence[int], time_s: float) -> list[float]:
        """Distinct accounts that sent each fingerprint within the window that ends with `time_s`'s bucket."""
        ...


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
    raise NotImplementedError

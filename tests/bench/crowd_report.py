"""What a run with a crowd found, as values and as lines to read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 99th percentile of what a call costs, milliseconds of processor time."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def read(cls, taken_us: NDArray[np.float32]) -> Spread:
        """Of costs in microseconds."""
        p50, p99 = np.percentile(taken_us, (50, 99)) / 1000
        return cls(float(p50), float(p99))

    def __str__(self) -> str:
        """Both figures."""
        return f"{self.p50_ms:.2f} ms at the median, {self.p99_ms:.2f} at the 99th percentile"


@dataclass(frozen=True, slots=True)
class Bound:
    """A store with room for fewer accounts than come.

    Attributes:
        room: accounts that it may keep.
        num_accounts: accounts that came.
        num_kept: accounts that it keeps in the end.
        growth_bytes: resident memory in the end, less that when it was first full.
    """

    room: int
    num_accounts: int
    num_kept: int
    growth_bytes: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """What happens when nobody comes for longer than states are kept, and then one request.

    Attributes:
        num_before: accounts kept before.
        num_after: accounts kept after.
        pause_ms: wall time that this one request waits for its state.
        returned_bytes: resident memory that the system gets back.
    """

    num_before: int
    num_after: int
    pause_ms: float
    returned_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found.

    Attributes:
        bundle: version of the bundle.
        num_accounts: distinct accounts that came.
        num_expected: accounts of the whole crowd; more than came where time was up.
        num_requests: requests that they sent.
        num_texts: distinct requests among them.
        sent_per_s: rate at which they were sent, by their own clock.
        wall_s: what scoring them all took.
        cpu_s: processor time of that.
        whole: a request with its account followed, texts from the cache.
        step: the part of it that changes the account's state: read, take in, run the stream's network, write.
        step_at_first: the median of `step` over the first tenth of the requests, milliseconds.
        step_at_last: the same over the last tenth.
        count: the part that counts accounts over skeletons.
        new_text: a request whose text the cache does not know, without its account.
        follow_ms: all that following an account adds to a request, median.
        encoded_bytes: state of an account of the crowd, mean.
        resident_bytes: growth of resident memory an account, the store's own objects included.
        full_encoded_bytes: state of an account with a full window.
        full_held_bytes: allocated for each of those, the store's own objects included.
        bound: a store that is too small.
        expiry: a store whose accounts stay away.
    """

    bundle: str
    num_accounts: int
    num_expected: int
    num_requests: int
    num_texts: int
    sent_per_s: float
    wall_s: float
    cpu_s: float
    whole: Spread
    step: Spread
    step_at_first: float
    step_at_last: float
    count: Spread
    new_text: Spread
    follow_ms: float
    encoded_bytes: float
    resident_bytes: float
    full_encoded_bytes: int
    full_held_bytes: float
    bound: Bound
    expiry: Expiry

    def __str__(self) -> str:
        """The figures in lines."""
        bound, expiry = self.bound, self.expiry
        million = 1e6 / 2**30
        return "\n".join(
            (
                f"{self.bundle}: {self.num_accounts:,} accounts of {self.num_expected:,} sent "
                f"{self.num_requests:,} requests of {self.num_texts:,} texts, "
                f"{self.sent_per_s:,.0f} a second by their own clock",
                f"scored        {self.num_requests / self.wall_s:,.0f} a second, one core "
                f"({self.num_requests / self.cpu_s:,.0f} by processor time)",
                f"a request     {self.whole}; its text from the cache",
                f"  state step  {self.step}; first tenth {self.step_at_first:.2f}, last tenth {self.step_at_last:.2f}",
                f"  counting    {self.count}",
                f"a new text    {self.new_text}, no account; following one adds {self.follow_ms:.2f} ms, "
                f"{self.follow_ms / self.new_text.p50_ms:.1%}",
                f"an account    {self.resident_bytes:,.0f} bytes resident, its state {self.encoded_bytes:,.0f}; "
                f"a million {self.resident_bytes * million:.2f} GiB",
                f"a full window {self.full_held_bytes:,.0f} bytes held, its state {self.full_encoded_bytes:,}; "
                f"a million {self.full_held_bytes * million:.2f} GiB",
                f"room for {bound.room:,}: {bound.num_accounts:,} came, {bound.num_kept:,} kept, memory "
                f"{bound.growth_bytes / 2**20:+.1f} MiB after it was full",
                f"a month of silence: of {expiry.num_before:,} accounts {expiry.num_after:,} kept; that request waited "
                f"{expiry.pause_ms:.0f} ms, {expiry.returned_bytes / 2**20:.0f} MiB given back",
            )
        )

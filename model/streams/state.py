"""What is remembered of one account: at most 4,096 bytes, updated in constant time, resumable from its bytes.

Every live number has the precision in which it is kept, so a state that went through its bytes at any point goes on
with exactly the numbers of one that did not. It holds no text, and of fingerprints and turns only short hashes.

Times: a missing time leaves `gap` unknown and the clock as it was. A request that is earlier than the last by up to
`CLOCK_SLACK_S` counts as sent at the same moment and does not set the clock back; earlier by more, the clock was
wrong and starts anew with this request, its gap unknown.
"""

from __future__ import annotations

from stillwatch.model.pooling import FloatArray
from stillwatch.model.streams.accounts import Others
from stillwatch.model.streams.observation import Observation

STATE_VERSION = 1
MAX_STATE_BYTES = 4096
CLOCK_SLACK_S = 3600.0
"""How far requests of one account may come out of order."""


class AccountState:
    """The account's last vectors, own skeletons, moving averages and counts.

    Attributes:
        num_requests: requests seen.
        maximum: highest stream logit so far, minus infinity before the first.
        num_suspicious: distinct requests whose stream logit was at or above the review threshold.
    """

    num_requests: int
    maximum: float
    num_suspicious: int

    def __init__(self) -> None:
        """An account that was never seen."""
        raise NotImplementedError

    def update(self, observation: Observation, time_s: float | None, others: Others | None) -> FloatArray:
        """Take a request in.

        Args:
            observation: what the request shows.
            time_s: Unix time in seconds, or None.
            others: counts over accounts; None where nobody counts, which leaves their slots at zero.

        Returns:
            its request vector as it is kept, shape (WIDTH,).
        """
        raise NotImplementedError

    def read_window(self) -> FloatArray:
        """The vectors kept, oldest first, shape (min(num_requests, WINDOW), WIDTH)."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The state, at most `MAX_STATE_BYTES` long."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, raw: bytes) -> AccountState:
        """Take a state up again.

        Raises:
            InputError: the bytes are cut, of another version, or no state.
        """
        raise NotImplementedError

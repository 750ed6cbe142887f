"""Where account states are kept between requests: the protocol, and a bounded one in memory.

A change is one read and one write that nobody comes between. Stores see bytes alone, so that any key-value store
will do; a state that is lost or cannot be read costs evidence, never an error. A store that is away says so by
`StoreError`: the scorer then goes on without streams.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Generic, Protocol, TypeVar

from stillwatch.data.errors import InputError
from stillwatch.model.streams.state import MAX_STATE_BYTES

T = TypeVar("T")

Change = Callable[[bytes | None], tuple[bytes, T]]
"""From the kept state, None for an unknown account, to the new one and a result. May be called again: keep it pure.
`InputError` says that the kept state cannot be read: it is dropped, and the change called with None."""

_STRIPES = 64


class Degraded(StrEnum):
    """Why a stream was not followed although it should have been. Codes are stable."""

    AWAY = "state_store_away"
    BUSY = "state_store_busy"


@dataclass(frozen=True, slots=True)
class Applied(Generic[T]):
    """What a change made.

    Attributes:
        state: to keep, at most `MAX_STATE_BYTES` long.
        result: for who asked.
        was_unreadable: whether the kept state was dropped.
    """

    state: bytes
    result: T
    was_unreadable: bool


def apply_change(change: Change[T], kept: bytes | None) -> Applied[T]:
    """Call a change as `Change` says, for stores.

    Raises:
        ValueError: the new state is longer than `MAX_STATE_BYTES`.
    """
    was_unreadable = False
    try:
        state, result = change(kept)
    except InputError:
        if kept is None:
            raise
        was_unreadable = True
        state, result = change(None)
    if len(state) > MAX_STATE_BYTES:
        raise ValueError(f"state: {len(state)} bytes; an account may take {MAX_STATE_BYTES}")
    return Applied(state, result, was_unreadable)


class StateStore(Protocol):
    """Keeps a state for each account. Implementations are thread-safe."""

    def change(self, account: str, change: Change[T]) -> T:
        """Replace an account's state by what `change` makes of it, and give its result.

        Args:
            account: the account.
            change: called with the kept state.

        Raises:
            StoreError: the store is away or too busy. What was kept may or may not have changed.
            ValueError: the new state is longer than `MAX_STATE_BYTES`; what was kept stays.
        """
        ...

    def forget(self, account: str) -> None:
        """Drop an account's state, if there is one."""
        ...


class MemoryStateStore:
    """Keeps states in this process; drops what was not touched for long, and the longest untouched when full.

    A million accounts take about four gigabytes. Accounts share 64 locks, so that few of them wait for each other.
    """

    def __init__(
        self,
        *,
        max_accounts: int = 100_000,
        expire_after_s: float = 30 * 86_400.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet.

        Args:
            max_accounts: how many states are kept.
            expire_after_s: seconds without a request after which a state is dropped.
            clock: seconds that never go back; not the times of requests, which callers give.
        """
        self._room, self._expire_after_s, self._clock = max_accounts, expire_after_s, clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # the longest untouched first
        self._num_dropped = 0
        self._lock = Lock()
        self._stripes = tuple(Lock() for _ in range(_STRIPES))

    def __len__(self) -> int:
        """How many states are kept."""
        return len(self._kept)

    @property
    def num_dropped(self) -> int:
        """States dropped since the start because they could not be read."""
        return self._num_dropped

    def change(self, account: str, change: Change[T]) -> T:
        """See `StateStore.change`."""
        with self._stripes[hash(account) % _STRIPES]:
            now = self._clock()
            with self._lock:
                self._expire(now)
                kept = self._kept.get(account)
            applied = apply_change(change, kept[1] if kept is not None else None)
            with self._lock:
                self._num_dropped += applied.was_unreadable
                self._kept[account] = (now, applied.state)
                self._kept.move_to_end(account)
                while len(self._kept) > self._room:
                    self._kept.popitem(last=False)
        return applied.result

    def forget(self, account: str) -> None:
        """See `StateStore.forget`."""
        with self._stripes[hash(account) % _STRIPES], self._lock:
            self._kept.pop(account, None)

    def _expire(self, now: float) -> None:
        while self._kept:
            touched, _ = next(iter(self._kept.values()))
            if now - touched < self._expire_after_s:
                return
            self._kept.popitem(last=False)

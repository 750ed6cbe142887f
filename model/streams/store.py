"""Where account states are kept between requests: the protocol, and a bounded one in memory.

A change is one read and one write that nobody comes between. Stores see bytes alone, so that any key-value store
will do; a state that is lost or out of date costs evidence, never an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

Change = Callable[[bytes | None], tuple[bytes, T]]
"""From the kept state, None for an unknown account, to the new one and a result. May be called again: keep it pure."""


class StateStore(Protocol):
    """Keeps a state for each account. Implementations are thread-safe."""

    def change(self, account: str, change: Change[T]) -> T:
        """Replace an account's state by what `change` makes of it, and give its result.

        Args:
            account: the account.
            change: called with the kept state.
        """
        ...

    def forget(self, account: str) -> None:
        """Drop an account's state, if there is one."""
        ...

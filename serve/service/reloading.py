"""Looks after the files that may change while the service runs, in one thread: at intervals, and at once when asked.

What cannot be taken is refused with a log line and a count, and what was in use stays in use. A change is taken once
it has stood still from one look to the next, so that a folder that is being copied is not refused at every look; it
is tried again whenever it changes, and whenever somebody asks.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from stillwatch.data.errors import StillwatchError
from stillwatch.serve.service.events import describe_error, tell
from stillwatch.serve.service.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Watched:
    """Something on disk that the service uses.

    Attributes:
        name: under which it is logged and counted.
        sign: a text that is another one once there is something new; never raises.
        take: begins to use what is there, and tells of it; None where that is in use already. Raises where it
            cannot be used, with nothing changed.
    """

    name: str
    sign: Callable[[], str]
    take: Callable[[], dict[str, str] | None]


class Watcher:
    """The thread. `ask` may be called from a signal handler."""

    def __init__(self, watched: Sequence[Watched], metrics: Metrics, *, poll_s: float) -> None:
        """Remember what is there now, which is in use; begin to look after it.

        Args:
            watched: what to look after.
            metrics: where is counted what was taken and what was refused.
            poll_s: seconds between two looks; 0 to look only when asked.
        """
        self._watched, self._metrics, self._poll_s = tuple(watched), metrics, poll_s
        self._tried = {each.name: each.sign() for each in watched}
        self._seen = dict(self._tried)
        self._asked: SimpleQueue[bool] = SimpleQueue()  # its put may interrupt itself, unlike an event's set
        self._thread = Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Have everything looked at now, what was refused before, too."""
        self._asked.put(True)

    def close(self) -> None:
        """Stop looking; what is being loaded is loaded first."""
        self._asked.put(False)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                if not self._asked.get(timeout=self._poll_s or None):
                    return
                is_asked = True
            except Empty:
                is_asked = False
            for each in self._watched:
                self._look(each, is_asked=is_asked)

    def _look(self, each: Watched, *, is_asked: bool) -> None:
        now = each.sign()
        is_settled, self._seen[each.name] = now == self._seen[each.name], now
        if not is_asked and (not is_settled or now == self._tried[each.name]):
            return
        self._tried[each.name] = now
        started_s = time.monotonic()
        try:
            told = each.take()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, the service goes on with the old one
            self._metrics.reloads.labels(each.name, "refused").inc()
            facts: dict[str, Any] = {"what": each.name, **describe_error(error)}
            if isinstance(error, StillwatchError):  # words of ours, which never quote a request
                facts["reason"] = str(error)
            tell("reload_refused", level=logging.ERROR, **facts)
            return
        if told is not None:
            self._metrics.reloads.labels(each.name, "taken").inc()
            load_ms = round((time.monotonic() - started_s) * 1000)
            facts = {"what": each.name, "load_ms": load_ms, **told}
            tell("reloaded", **facts)


def sign_file(path: Path) -> str:
    """The digest of a file's content, or that it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable {error.errno}"

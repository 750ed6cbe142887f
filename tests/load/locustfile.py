"""Locust's side of the load test: clients in a closed loop, or arrivals at a rate that wait for nobody.

`tests/load/measure.py` starts it. By hand, with the service on its port and its window in a browser:

    .venv/bin/locust -f tests/load/locustfile.py ClosedUser --host http://127.0.0.1:8011 --stock runs/load/stock.json

Every reply is kept with its times and status, and written to `--replies` at the end, beside the processor time that
this process took. Nothing is sent twice, and what was sent is waited for. Arrivals are those of a Poisson process; a
late one counts from when it was due.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from array import array
from pathlib import Path
from random import Random
from typing import Any, ClassVar, cast

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopUser

from replies import CUT, LOST, REFUSED_CONNECTION
from traffic import KINDS, Stock, Writer

NUM_WRITERS = 64
"""Conversations that arrivals take turns in."""
MAX_CONNECTIONS = 1024


class Ledger:
    """What was sent and what came back, in columns; one for the process."""

    def __init__(self) -> None:
        self.num_in_flight = 0
        self.is_over = False
        self.columns = {"due_s": array("d"), "sent_s": array("d"), "ended_s": array("d")}
        self.codes = {"status": array("h"), "kind": array("h")}
        self.began_s = self.began_cpu_s = 0.0

    def send(self, user: FastHttpUser, writer: Writer, due_s: float | None = None) -> tuple[int, float]:
        """Send the writer's next call; its status and the seconds after which to try again."""
        options, client = read_options(user.environment), cast("Any", user.client)  # it takes bytes, whatever it says
        call = writer.draw()
        headers = {"Content-Type": "application/json", "X-Stillwatch-Account": call.account}
        if options.deadline_ms:
            headers["X-Stillwatch-Deadline-Ms"] = str(options.deadline_ms)
        self.num_in_flight += 1
        sent_s = time.monotonic()
        response = client.post("/v1/score", data=call.body, headers=headers, name=call.kind)
        ended_s = time.monotonic()
        self.num_in_flight -= 1
        status = read_status(response)
        times = (sent_s if due_s is None else due_s, sent_s, ended_s)
        for column, value in zip(self.columns.values(), times, strict=True):
            column.append(value)
        self.codes["status"].append(status)
        self.codes["kind"].append(KINDS.index(call.kind))
        return status, float(response.headers.get("retry-after", 0)) if status in (429, 503) else 0.0

    def write(self, path: Path) -> None:
        """Write the columns, and the share of a processor that this process took."""
        wall_s, cpu_s = time.monotonic() - self.began_s, time.process_time() - self.began_cpu_s
        kept = {name: column.tolist() for name, column in (self.columns | self.codes).items()}
        path.write_text(json.dumps(kept | {"began_s": self.began_s, "generator_share": cpu_s / wall_s}))


LEDGER = Ledger()


def read_status(response: Any) -> int:
    """The HTTP status of a whole reply, or what happened instead of one."""
    if response.status_code == 0:
        return REFUSED_CONNECTION if isinstance(response.error, ConnectionRefusedError) else LOST
    return int(response.status_code) if (response.content or b"").endswith(b"}") else CUT


class ClosedUser(FastHttpUser):
    """A client that sends its next call when it has the reply; after 429 or 503, as late as the reply asks for."""

    network_timeout = 60.0
    num_started: ClassVar[int] = 0

    def on_start(self) -> None:
        """Take a seed of its own."""
        ClosedUser.num_started += 1
        options = read_options(self.environment)
        self.writer = Writer(STOCK[0], options.mixture, options.seed + ClosedUser.num_started)

    @task
    def ask(self) -> None:
        """One call."""
        if LEDGER.is_over:
            raise StopUser
        status, wait_s = LEDGER.send(self, self.writer)
        if status == REFUSED_CONNECTION:  # the service has gone
            raise StopUser
        if read_options(self.environment).patient:
            gevent.sleep(wait_s)


class OpenUser(FastHttpUser):
    """All arrivals: one user that starts a call when it is due, whatever has become of the others."""

    fixed_count = 1
    network_timeout = 60.0
    concurrency = MAX_CONNECTIONS

    @task
    def send_all(self) -> None:
        """Until the time is over."""
        options, pool = read_options(self.environment), Pool()
        chance = Random(options.seed)
        writers = [Writer(STOCK[0], options.mixture, seed) for seed in range(options.seed, options.seed + NUM_WRITERS)]
        due_s = time.monotonic()
        while not LEDGER.is_over:
            gevent.sleep(max(0.0, due_s - time.monotonic()))
            pool.spawn(LEDGER.send, self, chance.choice(writers), due_s)
            due_s += chance.expovariate(options.per_s)
        pool.join()
        raise StopUser


STOCK: list[Stock] = []


def read_options(environment: Environment) -> Namespace:
    """What the command line said."""
    assert environment.parsed_options is not None
    return cast("Namespace", environment.parsed_options)


def add_options(parser: ArgumentParser) -> None:
    """What `measure.py` says."""
    parser.add_argument("--stock", required=True, help="file of `traffic.build_stock`")
    parser.add_argument("--mixture", default="mixed", help="a name of `traffic.MIXTURES`")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long; 0 until told to stop")
    parser.add_argument("--per-s", type=float, default=10.0, help="arrivals a second, of OpenUser")
    parser.add_argument("--deadline-ms", type=int, default=0, help="X-Stillwatch-Deadline-Ms; 0 sends none")
    parser.add_argument("--seed", type=int, default=0, help="another one, other calls")
    parser.add_argument("--patient", action="store_true", help="ClosedUser waits as Retry-After asks")
    parser.add_argument("--replies", default="", help="file for what came back")


def begin(environment: Environment, **_: object) -> None:
    """Read the sentences, start the clock, and have somebody stop it."""
    options = read_options(environment)
    STOCK.append(Stock.load(Path(options.stock)))
    LEDGER.began_s, LEDGER.began_cpu_s = time.monotonic(), time.process_time()
    if options.seconds:
        gevent.spawn(finish, environment, options.seconds)


def finish(environment: Environment, seconds: float) -> None:
    """Let no more be sent, wait for what was, and leave."""
    gevent.sleep(seconds)
    LEDGER.is_over = True
    while LEDGER.num_in_flight:
        gevent.sleep(0.01)
    if replies := read_options(environment).replies:
        LEDGER.write(Path(replies))
    environment.process_exit_code = 0  # a refusal is an answer here
    assert environment.runner is not None
    environment.runner.quit()


events.init_command_line_parser.add_listener(add_options)
events.test_start.add_listener(begin)

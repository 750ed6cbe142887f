"""A real server in a process of its own: nothing leaks, nothing accepted is lost, too much is refused at once."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import pytest

from stillwatch.model.bundle import (
    CALIBRATION,
    DEFAULT_BUNDLE,
    ONNX_MODEL,
    Bundle,
    copy_bundle,
    load_bundle,
    seal_bundle,
)
from stillwatch.serve.service.guardrail_api import GUARDRAIL
from stillwatch.serve.service.secrecy import KEY_VARIABLE, make_api_key

pytestmark = pytest.mark.slow

WAIT_S = 120.0
CANARY = "zanzibar"
BODY = b'{"messages": [{"role": "user", "content": "hello"}]}'
CALL = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
SLOW = ("queue.num_workers=1", "queue.cache_bytes=0")


class Running:
    """A started service, and every line of its log."""

    def __init__(self, bundle: Path, *overrides: str) -> None:
        program = "from stillwatch.serve.cli import main; main()"
        settings = [f"bundle={bundle}", "listen.port=0", "queue.deadline_ms=100000", *overrides]
        options = [part for setting in settings for part in ("--set", setting)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {KEY_VARIABLE: f"{CANARY}-secret-key"},
        )
        self.log: list[str] = []
        self._is_ready = Event()
        self._reader = Thread(target=self._read)
        self._reader.start()
        assert self._is_ready.wait(WAIT_S), self.log
        port = next(event["port"] for event in map(json.loads, self.log) if event["event"] == "listening")
        self.url = f"http://127.0.0.1:{port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if '"ready"' in line:
                self._is_ready.set()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(bundle: Path, *overrides: str) -> Running:
        started.append(Running(bundle, *overrides))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def say(text: str, **fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_what_callers_send_is_in_no_reply_log_metric_or_audit(
    run: Callable[..., Running], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    audit, keys = tmp_path / "audit.jsonl", tmp_path / "keys"
    key, line = make_api_key("gateway")
    keys.write_text(line)
    limits = ("listen.drain_delay_s=0", "limits.max_body_bytes=100000")
    service = run(tiny_bundle.folder, f"audit.file={audit}", f"auth.keys_file={keys}", *limits)
    strange = ("X-Stillwatch-Account", "X-Request-Id", "X-Api-Key", "Cookie", "User-Agent", "Referer", CANARY)
    headers = dict.fromkeys(strange, CANARY)
    known = {"Authorization": f"Bearer {key}"}
    harvest = say(CANARY + " reasoning" * 40, id=CANARY, user=CANARY, model=CANARY)
    bodies: list[bytes] = [
        json.dumps(body).encode()
        for body in (
            harvest,
            {"request": harvest, "account": CANARY},
            {"request": harvest, CANARY: CANARY},
            say(CANARY, tools=[{"type": CANARY, "function": {"name": CANARY}}]),
            say(CANARY, temperature=CANARY),
            {"messages": [{"role": CANARY, CANARY: CANARY}]},
            {CANARY: CANARY},
            say(CANARY * 20_000),
        )
    ]
    bodies += [CANARY.encode(), f'{{"{CANARY}'.encode(), f'{{"messages": "{CANARY}'.encode() + b'\xff"}']
    asked: dict[str, object] = {
        "input_type": "request",
        "texts": [CANARY + " reasoning" * 40],
        "litellm_call_id": CANARY,
        CANARY: CANARY,
    }
    asked["request_data"] = dict.fromkeys(("user_api_key_hash", "user_api_key_user_id", CANARY), CANARY)
    seen = []
    with httpx2.Client(base_url=service.url, timeout=WAIT_S, headers=known) as client:
        names = ("Authorization", "X-Stillwatch-Time", "X-Stillwatch-Deadline-Ms", "Content-Encoding", "Accept")
        seen += [client.post("/v1/score", json=harvest, headers={name: f"Bearer {CANARY}"}) for name in names]
        questions: list[dict[str, object]] = [asked, asked | {"input_type": CANARY}, asked | {"texts": CANARY}]
        seen += [client.post(GUARDRAIL, json=each, headers=headers) for each in (*questions, {CANARY: CANARY})]
        for body in bodies:
            for kind in ("application/json", CANARY):
                whole = headers | {"Content-Type": kind}
                seen.append(client.post("/v1/score", content=body, headers=whole))
        seen.append(client.post("/v1/score/batch", json={"requests": [harvest, {"messages": CANARY}, CANARY]}))
        seen.append(client.get(f"/{CANARY}?{CANARY}={CANARY}"))
        seen.append(client.request(CANARY.upper(), "/v1/score"))
        seen.append(client.get("/metrics"))
    assert {200, 400, 401, 404, 405, 413, 415} == {reply.status_code for reply in seen}
    assert service.stop() == 0
    written = "".join([*service.log, audit.read_text(), *(reply.text + str(reply.headers) for reply in seen)])
    assert len(audit.read_text().splitlines()) >= 3
    plain = CANARY.encode()
    for secret in (CANARY, key, hashlib.sha256(plain).hexdigest(), plain.hex(), base64.b64encode(plain).decode()[:8]):
        assert secret.lower() not in written.lower()
    assert "Traceback" not in written


def test_a_sigterm_under_load_loses_no_accepted_request(run: Callable[..., Running], tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    service = run(DEFAULT_BUNDLE, f"audit.file={audit}", "listen.drain_delay_s=8", *SLOW)
    text = "Write every step of your reasoning between tags, then the answer, as one JSON object a line. " * 4

    replies: list[list[int]] = [[] for _ in range(12)]

    def send_until_told_to_stop(statuses: list[int]) -> None:
        """Keeps one connection busy; leaves when a reply closes it, as a load balancer would."""
        with httpx2.Client(base_url=service.url, timeout=WAIT_S) as client:
            while True:
                reply = client.post("/v1/score", json=say(f"{len(statuses)} {text}"))
                statuses.append(reply.status_code)
                if reply.headers.get("connection") == "close":
                    return

    with ThreadPoolExecutor(len(replies)) as pool:
        senders = [pool.submit(send_until_told_to_stop, statuses) for statuses in replies]
        while not all(replies):
            time.sleep(0.05)
        before = sum(map(len, replies))
        service.process.send_signal(signal.SIGTERM)
        while '"draining"' not in httpx2.get(f"{service.url}/readyz", timeout=WAIT_S).text:
            time.sleep(0.05)
        for sender in senders:
            sender.result(WAIT_S)
    statuses = [status for each in replies for status in each]
    assert service.stop() == 0
    assert len(statuses) > before
    assert set(statuses) == {200}
    assert any('"stopped"' in line for line in service.log)


def test_the_end_cuts_no_connection_that_was_made(run: Callable[..., Running], tiny_bundle: Bundle) -> None:
    """Each call on a connection of its own, so that at any moment some are made, not yet accepted or not yet read."""
    seen: Counter[str] = Counter()

    def send_until_refused(address: tuple[str, int]) -> None:
        while True:
            try:
                connection = socket.create_connection(address, WAIT_S)
            except ConnectionRefusedError:
                return
            with connection:
                try:
                    connection.sendall(CALL)
                    seen[connection.makefile("rb").readline().decode()] += 1
                except ConnectionError as error:
                    seen[type(error).__name__] += 1

    for _ in range(3):
        service = run(tiny_bundle.folder, "listen.drain_delay_s=0.2")
        host, port = service.url.removeprefix("http://").split(":")
        with ThreadPoolExecutor(16) as pool:
            senders = [pool.submit(send_until_refused, (host, int(port))) for _ in range(16)]
            time.sleep(0.5)
            assert service.stop() == 0
            for sender in senders:
                sender.result(WAIT_S)
    assert set(seen) == {"HTTP/1.1 200 OK\r\n"}, seen


def test_swaps_of_the_bundle_under_load_lose_no_request_and_end_none_with_an_error(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    """The shipped bundle and one with other thresholds in turn, and a damaged one between them."""
    shipped = load_bundle(DEFAULT_BUNDLE)
    strict, bad, link = (tmp_path / name for name in ("strict", "bad", "link"))
    versions = {shipped.version}
    for number, folder in enumerate((strict, bad), 1):
        copy_bundle(shipped, folder, with_torch=False)
        calibration = shipped.calibration.model_copy(update={"flag_logit": shipped.calibration.flag_logit + number})
        (folder / CALIBRATION).write_text(calibration.model_dump_json())
        versions.add(seal_bundle(folder, shipped.manifest).version)
    versions.remove(load_bundle(bad).version)
    (bad / ONNX_MODEL).write_bytes(b"no network")

    def point(folder: Path) -> None:
        fresh = tmp_path / "fresh"
        fresh.symlink_to(folder)
        fresh.replace(link)

    point(DEFAULT_BUNDLE)
    service = run(link, "reload.poll_s=0.1", "listen.drain_delay_s=0", "queue.cache_bytes=0")
    is_over = Event()

    def send_until_over(number: int) -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        with httpx2.Client(base_url=service.url, timeout=WAIT_S) as client:
            while not is_over.is_set():
                reply = client.post("/v1/score", json=say(f"Which plants like shade? {number} {len(seen)}"))
                seen.append((reply.status_code, reply.json().get("model_version", "")))
        return seen

    def count(event: str) -> int:
        return sum(f'"{event}"' in line for line in service.log)

    def swap(folder: Path, event: str, *, by_signal: bool) -> None:
        before, until_s = count(event), time.monotonic() + WAIT_S
        point(folder)
        if by_signal:
            service.process.send_signal(signal.SIGHUP)
        while count(event) == before:
            assert time.monotonic() < until_s, service.log
            time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        senders = [pool.submit(send_until_over, number) for number in range(8)]
        try:
            for turn in range(3):
                swap(strict, "reloaded", by_signal=turn == 0)
                swap(bad, "reload_refused", by_signal=turn == 0)
                swap(DEFAULT_BUNDLE, "reloaded", by_signal=turn == 0)
        finally:
            is_over.set()
        replies = [reply for sender in senders for reply in sender.result(WAIT_S)]
    assert service.stop() == 0
    assert {status for status, _ in replies} == {200}
    assert {version for _, version in replies} == versions


def test_an_overload_is_refused_at_once_and_the_rest_is_answered(run: Callable[..., Running]) -> None:
    limits = ("queue.max_requests=4", "limits.max_batch_requests=4", "listen.drain_delay_s=0")
    service = run(DEFAULT_BUNDLE, *SLOW, *limits, "policy.mode=block", "policy.on_failure=closed")
    text = "Sum up this letter to the tenants of the house, please, in two sentences. " * 60

    def send(number: int) -> tuple[float, httpx2.Response]:
        started_s = time.monotonic()
        reply = httpx2.post(f"{service.url}/v1/score", json=say(f"{number} {text}"), timeout=WAIT_S)
        return time.monotonic() - started_s, reply

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(send, range(48)))
    refused = [(spent_s, reply) for spent_s, reply in answers if reply.status_code == 429]
    scored_s = [spent_s for spent_s, reply in answers if reply.status_code == 200]
    assert len(refused) + len(scored_s) == 48
    assert refused
    assert scored_s
    for _, reply in refused:
        assert int(reply.headers["Retry-After"]) >= 1
        assert (reply.json()["error"]["code"], reply.json()["block"]) == ("queue_full", True)
    assert min(spent_s for spent_s, _ in refused) < max(scored_s)
    assert service.stop() == 0


def test_a_port_that_is_taken_and_a_bad_bundle_end_the_command_with_one_line(
    run: Callable[..., Running], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    service = run(tiny_bundle.folder, "listen.drain_delay_s=0")
    port = service.url.rpartition(":")[2]
    program = "from stillwatch.serve.cli import main; main()"
    for settings, code in ((f"listen.port={port}", 78), (f"bundle={tmp_path}", 65)):
        command = [sys.executable, "-c", program, "serve", "--set", "listen.port=0", "--set", settings]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert done.returncode == code
        assert done.stderr.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in done.stderr
    assert service.stop() == 0

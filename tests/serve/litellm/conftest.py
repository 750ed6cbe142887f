"""A real LiteLLM proxy on loopback, between a tiny upstream of our own and real `stillwatch serve` processes.

The proxy has an environment of its own, `.venv/litellm`: LiteLLM holds several libraries below the versions that the
training libraries are tested with. It is made at the first run, which takes a minute or two, and again when what it
is made from has changed. Nothing here asks the network but that installation.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import yaml

from stillwatch.serve.service.secrecy import KEY_VARIABLE

WAIT_S = 300.0  # the proxy alone computes for ten seconds before it listens
CANARY = "zanzibar"
ANSWER = ("It depends", " on the soil", ".")
AUTHENTICATION = f"""
from litellm.proxy._types import UserAPIKeyAuth

async def check(request, api_key):
    return UserAPIKeyAuth(api_key=api_key, user_id="{CANARY}-" + api_key, team_id="{CANARY}-team")
"""


@pytest.fixture(scope="session")
def proxy_environment(repository: Path) -> Path:
    """The environment of the proxy, with Stillwatch from this checkout in it."""
    place = repository / ".venv" / "litellm"
    constraints = Path(__file__).with_name("constraints.txt")
    stamp = place / ".ready"
    pyproject = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))
    project, packages = pyproject["project"], pyproject["tool"]["setuptools"]["package-dir"]
    made_from = [
        project["dependencies"],
        project["optional-dependencies"]["litellm"],
        packages,
        constraints.read_text(),
    ]
    wanted = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-compile", "-c", str(constraints)]
        subprocess.run([*install, "-e", ".[litellm]"], cwd=repository, check=True)
        stamp.write_text(wanted)
    return place


class Upstream(BaseHTTPRequestHandler):
    """Answers Chat Completions, plain and as server-sent events; counts them in `server.num_calls`."""

    protocol_version = "HTTP/1.1"
    server: CountingServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.num_calls += 1
        told: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "any"}
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(ANSWER)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            told |= {"object": "chat.completion", "choices": [choice], "usage": usage}
            self.answer("application/json", json.dumps(told).encode())
            return
        told["object"] = "chat.completion.chunk"
        deltas = [*({"role": "assistant", "content": word} for word in ANSWER), {}]
        chunks = [
            {**told, "choices": [{"index": 0, "delta": d, "finish_reason": None if d else "stop"}]} for d in deltas
        ]
        lines = [*(json.dumps(chunk) for chunk in chunks), "[DONE]"]
        self.answer("text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())

    def answer(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        """Keep quiet."""


class CountingServer(ThreadingHTTPServer):
    """The upstream and how often it was asked."""

    num_calls = 0
    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@dataclass(frozen=True)
class Running:
    """A started process, where it listens, and the file of all that it says."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(WAIT_S / 10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where logs, audits and configurations are."""
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def upstream() -> Iterator[CountingServer]:
    """The model's provider."""
    with CountingServer(("127.0.0.1", 0), Upstream) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def start_service(folder: Path) -> Iterator[Start]:
    """Starts `stillwatch serve` under a name; its audit is `NAME.audit.jsonl`."""
    with ExitStack() as stack:

        def start(name: str, *overrides: str) -> Running:
            settings = [
                "listen.port=0",
                "listen.drain_delay_s=0",
                f"audit.file={folder / name}.audit.jsonl",
                *overrides,
            ]
            program = "from stillwatch.serve.cli import main; main()"
            options = [part for setting in settings for part in ("--set", setting)]
            log = folder / f"{name}.log"
            process = start_process([sys.executable, "-c", program, "serve", *options], log, {})
            running = Running(process, f"http://127.0.0.1:{wait_for_port(process, log)}", log)
            stack.callback(running.stop)
            wait_until_ready(running, "/readyz")
            return running

        yield start


@pytest.fixture(scope="module")
def start_proxy(folder: Path, upstream: CountingServer, proxy_environment: Path) -> Iterator[Start]:
    """Starts a LiteLLM proxy in front of the upstream: model `any`, and `guarded`, which names a guardrail itself."""
    with ExitStack() as stack:

        def start(guardrails: list[dict[str, Any]], guarded_by: str) -> Running:
            model = {"model": "openai/any", "api_base": f"{upstream.url}/v1", "api_key": "none"}
            settings = {
                "model_list": [
                    {"model_name": "any", "litellm_params": model},
                    {"model_name": "guarded", "litellm_params": {**model, "guardrails": [guarded_by]}},
                ],
                "guardrails": guardrails,
                "litellm_settings": {"callbacks": ["prometheus"]},
                "general_settings": {"custom_auth": "authentication.check", "master_key": f"sk-{'0' * 32}"},
            }
            (folder / "litellm.yaml").write_text(yaml.safe_dump(settings), "utf-8")
            (folder / "authentication.py").write_text(AUTHENTICATION, "utf-8")
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            command = [str(proxy_environment / "bin" / "litellm"), "--config", "litellm.yaml", "--telemetry", "False"]
            log = folder / "litellm.log"
            offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(folder)}
            process = start_process([*command, "--host", "127.0.0.1", "--port", str(port)], log, offline)
            running = Running(process, f"http://127.0.0.1:{port}", log)
            stack.callback(running.stop)
            wait_until_ready(running, "/health/liveliness")
            return running

        yield start


def start_process(command: list[str], log: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that says everything into one file and asks no proxy of the machine."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = inherited | {KEY_VARIABLE: f"{CANARY}-secret-key"} | variables
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=log.parent)


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that a service took, from its log."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s and process.poll() is None:
        events = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        for event in events:
            if event["event"] == "listening":
                return int(event["port"])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def wait_until_ready(running: Running, path: str) -> None:
    """Ask until it says that it is."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s and running.process.poll() is None:
        try:
            if httpx2.get(running.url + path, timeout=WAIT_S).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(running.log.read_text()[-4000:])

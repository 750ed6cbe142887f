"""Over HTTP a key selects its tenant's thresholds, a wrong one learns nothing, and both files may change meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from stillwatch.data.configuration import parse_config
from stillwatch.data.errors import ConfigError
from stillwatch.model.bundle import Bundle
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.guardrail_api import GUARDRAIL
from stillwatch.serve.service.reloading import Watcher
from stillwatch.serve.service.running import list_watched
from stillwatch.serve.service.scoring import Service, build_service
from stillwatch.serve.service.secrecy import load_api_keys, make_api_key
from stillwatch.serve.service.settings import ServeConfig

HARVEST: dict[str, Any] = {"messages": [{"role": "user", "content": "reasoning " * 40}]}
LENIENT = {"review_logit": 50.0, "flag_logit": 60.0}
MIDDLE = {"review_logit": 0.0, "flag_logit": 60.0}
NAMES = ("acme-gateway", "labs-gateway", "plain-gateway")
ACTIONS = ("allow", "review", "flag")
WAIT_S = 20.0


class Place:
    """A running service, its files, and a key for each name."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.keys_file, self.tenants_file = folder / "keys", folder / "tenants.yaml"
        made = {name: make_api_key(name) for name in NAMES}
        self.keys = {name: key for name, (key, _) in made.items()}
        self.lines = {name: line for name, (_, line) in made.items()}
        self.write_keys(*NAMES)
        self.write_tenants(acme=("acme-gateway", LENIENT), labs=("labs-gateway", MIDDLE))
        raw = {
            "bundle": bundle.folder,
            "auth": {"keys_file": self.keys_file},
            "policy": {"mode": "block", "on_failure": "open", "tenants_file": self.tenants_file},
            "audit": {"file": folder / "audit.jsonl"},
        }
        self.service: Service = build_service(parse_config(ServeConfig, raw, "settings", []))
        self.service.warm_up()
        self.client = TestClient(build_app(self.service))

    def write_keys(self, *names: str) -> None:
        self.keys_file.write_text("\n".join(self.lines[name] for name in names))

    def write_tenants(self, **tenants: tuple[str, dict[str, float]]) -> None:
        rows = [{"name": name, "api_keys": [key], "request": pair} for name, (key, pair) in tenants.items()]
        self.tenants_file.write_text(yaml.safe_dump({"tenants": rows}))

    def ask(self, name: str, path: str = "/v1/score", body: dict[str, Any] = HARVEST, header: str = "bearer") -> Any:
        key = self.keys[name]
        headers = {"Authorization": f"Bearer {key}"} if header == "bearer" else {"X-Api-Key": key}
        return self.client.post(path, json=body, headers=headers)

    def wait_for(self, line: str) -> None:
        until_s = time.monotonic() + WAIT_S
        while line not in self.service.metrics.render().decode():
            assert time.monotonic() < until_s, line
            time.sleep(0.01)


@pytest.fixture
def place(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Place]:
    made = Place(tmp_path, tiny_bundle)
    with made.client:
        yield made
    made.service.close()


@pytest.fixture
def watch(place: Place) -> Iterator[Callable[[], None]]:
    started: list[Watcher] = []

    def start() -> None:
        started.append(Watcher(list_watched(place.service), place.service.metrics, poll_s=0.02))

    yield start
    for watcher in started:
        watcher.close()


@pytest.mark.parametrize("header", ["bearer", "x-api-key"])
def test_a_key_selects_its_tenant_s_thresholds_on_every_route(place: Place, header: str) -> None:
    replies = [place.ask(name, header=header).json() for name in NAMES]
    assert [reply["tenant"] for reply in replies] == ["acme", "labs", None]
    assert [reply["action"] for reply in replies] == list(ACTIONS)
    assert [reply["block"] for reply in replies] == [False, False, True]
    batches = [place.ask(name, "/v1/score/batch", {"requests": [HARVEST] * 2}, header).json() for name in NAMES]
    assert [[each["action"] for each in batch["results"]] for batch in batches] == [[action] * 2 for action in ACTIONS]
    asked = {"input_type": "request", "structured_messages": HARVEST["messages"], "request_data": {}}
    guarded = [place.ask(name, GUARDRAIL, asked, header).json()["action"] for name in NAMES]
    assert guarded == ["NONE", "NONE", "BLOCKED"]


def test_a_wrong_key_is_answered_as_none_at_all(place: Place) -> None:
    known = place.keys["acme-gateway"]
    digest = place.lines["acme-gateway"].partition(":")[2]
    wrong = [known[:-1], known + "x", known.swapcase(), "acme-gateway", "acme", digest, "sw-", "é", f"{known},{known}"]
    attempts: list[dict[str, Any]] = [{}, {"Authorization": known}, {"Authorization": f"Basic {known}"}]
    attempts += [{"Authorization": f"Bearer {key}".encode()} for key in wrong]
    attempts += [{"X-Api-Key": key.encode()} for key in wrong]
    attempts.append({"Authorization": "Bearer wrong", "X-Api-Key": known})  # the header that was given decides
    for path in ("/v1/score", "/v1/score/batch", GUARDRAIL):
        replies = [place.client.post(path, json=HARVEST, headers=headers) for headers in attempts]
        assert {reply.status_code for reply in replies} == {401}
        assert len({reply.text for reply in replies}) == 1
        assert len({tuple(sorted(reply.headers.items())) for reply in replies}) == 1
        assert not [name for name in ("acme", "labs", "plain", "tenant") if name in replies[0].text]
    metrics = place.service.metrics.render().decode()
    assert "stillwatch_decisions_total{" not in metrics


def test_metrics_name_neither_keys_nor_tenants(place: Place) -> None:
    for name in NAMES:
        place.ask(name)
    key = place.keys["acme-gateway"]
    assert place.client.get("/metrics").status_code == 401
    metrics = place.client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).text
    assert 'stillwatch_decisions_total{result="block"} 1.0' in metrics
    for word in ("acme", "labs", "plain", *place.keys.values(), *place.lines.values()):
        assert word not in metrics


def test_a_tenants_file_is_taken_when_it_is_whole_and_refused_when_it_is_not(
    place: Place, watch: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    watch()
    place.write_tenants(acme=("acme-gateway", MIDDLE))
    place.wait_for('stillwatch_reloads_total{result="taken",what="tenants"} 1.0')
    assert [place.ask(name).json()["action"] for name in NAMES] == ["review", "flag", "flag"]
    place.write_tenants(acme=("acme-gateway", LENIENT), other=("unknown-gateway", LENIENT))
    place.wait_for('stillwatch_reloads_total{result="refused",what="tenants"} 1.0')
    assert [place.ask(name).json()["action"] for name in NAMES] == ["review", "flag", "flag"]
    (refused,) = [vars(record)["facts"] for record in caplog.records if record.msg == "reload_refused"]
    assert "tenants.1.api_keys.0: no such name in auth.keys_file" in refused["reason"]
    assert "unknown-gateway" not in refused["reason"]


def test_a_key_that_is_struck_out_is_let_in_no_more_and_a_new_one_finds_its_tenant(
    place: Place, watch: Callable[[], None]
) -> None:
    place.write_keys("plain-gateway", "acme-gateway")
    place.write_tenants(acme=("acme-gateway", LENIENT))
    place.service.reload_keys()
    place.service.reload_tenants()
    assert [place.ask(name).status_code for name in NAMES] == [200, 401, 200]
    watch()
    place.write_tenants(labs=("labs-gateway", MIDDLE))  # first, before its key is there
    place.wait_for('stillwatch_reloads_total{result="refused",what="tenants"} 1.0')
    place.write_keys("labs-gateway")
    place.wait_for('stillwatch_reloads_total{result="taken",what="tenants"} 1.0')
    assert [place.ask(name).status_code for name in NAMES] == [401, 200, 401]
    assert place.ask("labs-gateway").json()["tenant"] == "labs"
    place.keys_file.write_text("")
    place.wait_for('stillwatch_reloads_total{result="refused",what="keys"} 1.0')
    assert place.ask("labs-gateway").status_code == 200


def test_one_key_under_two_names_is_refused(tmp_path: Path) -> None:
    _, line = make_api_key("one")
    (tmp_path / "keys").write_text(f"{line}\n{line.replace('one:', 'two:')}")
    with pytest.raises(ConfigError, match=":2: a key that has a name already"):
        load_api_keys(tmp_path / "keys")

"""Some callers have thresholds of their own and some are welcome: by files that are read again, and never quoted."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stillwatch.data.configuration import parse_config
from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import STREAM_JSON, Bundle, seal_bundle
from stillwatch.model.streams.detector import StreamModel
from stillwatch.serve.service.reloading import Watcher
from stillwatch.serve.service.replies import ScoreReply
from stillwatch.serve.service.running import list_watched, watch_bundle
from stillwatch.serve.service.scoring import Service, build_service
from stillwatch.serve.service.secrecy import KeyedHasher, make_api_key
from stillwatch.serve.service.settings import ServeConfig
from stillwatch.serve.service.tenants import load_allow_list

CANARY = "zanzibar"
KEY = "0123456789abcdef0123456789abcdef"
BLOCK = {"mode": "block", "on_failure": "open"}
Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a service over a bundle; the policy's files are made of what is given."""
    (tmp_path / "account-key").write_text(KEY)
    started: list[Service] = []

    def make(bundle: Path, *, key_names: tuple[str, ...] = (), **files: object) -> Service:
        policy: dict[str, Any] = dict(BLOCK)
        for name, content in files.items():
            (tmp_path / name).write_text(yaml.safe_dump(content))
            policy[f"{name}_file"] = tmp_path / name
        raw: dict[str, Any] = {"bundle": bundle, "policy": policy, "audit": {"file": tmp_path / "audit.jsonl"}}
        raw["accounts"] = {"key_file": tmp_path / "account-key"}
        if key_names:
            (tmp_path / "keys").write_text("\n".join(make_api_key(name)[1] for name in key_names))
            raw["auth"] = {"keys_file": tmp_path / "keys"}
        started.append(build_service(parse_config(ServeConfig, raw, "settings", [])))
        started[-1].warm_up()
        return started[-1]

    yield make
    for service in started:
        service.close()


def ask(
    service: Service, account: str | None = None, *, key_name: str | None = None, text: str = "reasoning " * 40
) -> ScoreReply:
    request = Request((Message(Role.USER, text),), account=account, time_s=1e9)
    (future,) = service.submit([request], time.monotonic() + 60, key_name)
    return future.result(60)


def read_audit(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]


def test_a_tenant_is_found_by_key_before_prefix_and_by_the_longest_prefix(
    start: Start, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    lenient, middle = {"review_logit": 50.0, "flag_logit": 60.0}, {"review_logit": 0.0, "flag_logit": 60.0}
    tenants = [
        {"name": "acme", "api_keys": ["acme-gateway"], "account_prefixes": ["acme/"], "request": lenient},
        {"name": "labs", "account_prefixes": ["acme/labs/"], "request": middle},
    ]
    service = start(tiny_bundle.folder, key_names=("acme-gateway", "other"), tenants={"tenants": tenants})
    asked = [(None, None), ("acme/1", None), ("acme/labs/1", "other"), ("acme/labs/1", "acme-gateway"), ("x", "other")]
    replies = [ask(service, account, key_name=key_name) for account, key_name in asked]
    assert [reply.tenant for reply in replies] == [None, "acme", "labs", "acme", None]
    assert [reply.request.action for reply in replies] == ["flag", "allow", "review", "allow", "flag"]
    assert [bool(reply.request.reasons) for reply in replies] == [True, False, True, False, True]
    records = read_audit(tmp_path)
    assert [record["tenant"] for record in records] == [None, "labs", None]
    assert [record["thresholds"]["review_logit"] for record in records] == [-1.0, 0.0, -1.0]


def test_stream_thresholds_come_from_what_calibrate_wrote_and_hold_for_its_network_alone(
    start: Start, stream_bundle: Bundle, tmp_path: Path
) -> None:
    def vary(name: str, **fields: object) -> Path:
        folder = Path(shutil.copytree(stream_bundle.folder, tmp_path / name))
        model = StreamModel.model_validate_json((folder / STREAM_JSON).read_bytes()).model_copy(update=fields)
        (folder / STREAM_JSON).write_text(model.model_dump_json())
        return seal_bundle(folder, stream_bundle.manifest).folder

    model = StreamModel.model_validate_json((stream_bundle.folder / STREAM_JSON).read_bytes())
    own = vary("own", calibration=model.calibration.model_copy(update={"review_logit": 5.0, "flag_logit": 50.0}))
    tenants = {"tenants": [{"name": "acme", "account_prefixes": ["acme/"], "calibrated": str(own)}]}
    (tmp_path / "link").symlink_to(stream_bundle.folder)
    service = start(tmp_path / "link", tenants=tenants)

    def follow(account: str) -> list[str]:
        replies = [ask(service, account, text=f"hello {number}") for number in range(6)]
        return [reply.stream.action for reply in replies if reply.stream is not None]

    assert follow("acme/1") == ["allow"] * 4 + ["review"] * 2
    assert follow("other") == ["allow", "review", "review", "flag", "flag", "flag"]
    assert {record["thresholds"]["stream_flag_logit"] for record in read_audit(tmp_path)} == {50.0, 4.0}

    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(vary("other", attribute_offset=(1.0,) * len(model.attribute_offset)))
    assert watch_bundle(service).take() is not None
    assert follow("acme/1") == ["allow", "review", "review", "flag", "flag", "flag"]
    with pytest.raises(ConfigError, match=r"tenants\.0\.calibrated: its stream model is not"):
        service.reload_tenants()


def test_a_welcome_account_passes_whatever_it_sends_and_each_use_is_in_the_audit(
    start: Start, stream_bundle: Bundle, tmp_path: Path
) -> None:
    by_hash = KeyedHasher(KEY.encode()).hash_account("evals/2")
    accounts = [{"account": "evals/1", "note": "asked for"}, {"account_hash": by_hash, "note": "appealed"}]
    service = start(stream_bundle.folder, allow_list={"accounts": accounts})
    harvest, stranger = ask(service, "evals/1"), ask(service, "evals/3")
    assert (harvest.action, harvest.block, harvest.allow_listed, harvest.request.action) == (
        "allow",
        False,
        True,
        "flag",
    )
    assert (stranger.block, stranger.allow_listed) == (True, False)
    steady = [ask(service, "evals/2", text=f"hello {number}") for number in range(3)]
    assert [reply.allow_listed for reply in steady] == [False, True, True]
    assert not [reply for reply in steady if reply.block]
    assert [record["allow_listed"] for record in read_audit(tmp_path)] == ["asked for", None, "appealed", "appealed"]
    assert 'stillwatch_decisions_total{result="allow_listed"} 3.0' in service.metrics.render().decode()
    assert "evals" not in (tmp_path / "audit.jsonl").read_text()


def test_without_a_stream_model_a_welcome_account_passes_too(start: Start, tiny_bundle: Bundle) -> None:
    service = start(tiny_bundle.folder, allow_list={"accounts": [{"account": "evals", "note": "ours"}]})
    assert [ask(service, account).block for account in ("evals", "other", None)] == [False, True, True]


def test_the_files_are_read_again_and_a_bad_one_leaves_what_was(
    start: Start, tiny_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = start(tiny_bundle.folder, allow_list={"accounts": []}, tenants={"tenants": []})
    watcher = Watcher(list_watched(service), service.metrics, poll_s=0.02)

    def write(name: str, content: object, result: str, count: float) -> None:
        (tmp_path / name).write_text(yaml.safe_dump(content))
        until_s = time.monotonic() + 20
        line = f'stillwatch_reloads_total{{result="{result}",what="{name}"}} {count}'
        while line not in service.metrics.render().decode():
            assert time.monotonic() < until_s, line
            time.sleep(0.01)

    write("allow_list", {"accounts": [{"account": CANARY, "note": "ours"}]}, "taken", 1.0)
    assert ask(service, CANARY).allow_listed
    write("allow_list", {"accounts": [{"account": CANARY}]}, "refused", 1.0)
    assert ask(service, CANARY).allow_listed
    pair = {"review_logit": 50, "flag_logit": 60}
    write("tenants", {"tenants": [{"name": "a", "account_prefixes": ["z"], "request": pair}]}, "taken", 1.0)
    assert ask(service, CANARY).tenant == "a"
    watcher.close()
    assert CANARY not in caplog.text + "".join(str(vars(record)) for record in caplog.records)


PAIR = {"review_logit": 1.0, "flag_logit": 2.0}
BAD_TENANTS: dict[str, tuple[list[dict[str, object]], str]] = {
    "nobody": ([{"name": "a", "request": PAIR}], "name who belongs"),
    "nothing": ([{"name": "a", "account_prefixes": [CANARY]}], "no thresholds"),
    "turned": (
        [{"name": "a", "account_prefixes": [CANARY], "request": {"review_logit": 2.0, "flag_logit": 1.0}}],
        "must not be below",
    ),
    "unknown key": ([{"name": "a", "api_keys": ["b"], "request": PAIR}], r"api_keys\.0: no such name"),
    "twice": ([{"name": n, "account_prefixes": [CANARY], "request": PAIR} for n in "ab"], r"prefixes\.0: stands twice"),
    "same name": ([{"name": "a", "account_prefixes": [p], "request": PAIR} for p in "bc"], "name: stands twice"),
    "no bundle": ([{"name": "a", "account_prefixes": [CANARY], "calibrated": "nowhere"}], r"calibrated: .*no such"),
    "misspelt": ([{"name": "a", "account_prefixes": [CANARY], "requests": PAIR}], "unknown key"),
}


@pytest.mark.parametrize("case", BAD_TENANTS)
def test_bad_files_of_tenants_are_refused_by_field_without_a_quote(
    start: Start, tiny_bundle: Bundle, case: str
) -> None:
    tenants, rule = BAD_TENANTS[case]
    with pytest.raises(ConfigError, match=rule) as caught:
        start(tiny_bundle.folder, tenants={"tenants": tenants})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"account": CANARY}, "note: missing"),
        ({"account": CANARY, "note": " "}, "note"),
        ({"note": "ours"}, "either account or account_hash"),
        ({"account_hash": CANARY, "note": "ours"}, "account_hash"),
        ({"account_hash": "0" * 32, "note": "ours"}, "random key"),
    ],
)
def test_bad_allow_lists_are_refused_by_field_without_a_quote(tmp_path: Path, entry: dict[str, str], rule: str) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump({"accounts": [entry]}))
    with pytest.raises(ConfigError, match=rule) as caught:
        load_allow_list(path, KeyedHasher(KEY.encode(), is_lasting=False))
    assert CANARY not in str(caught.value)

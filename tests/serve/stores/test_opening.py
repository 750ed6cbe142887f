"""Which store the settings open; a server's address comes from a file or the environment and is quoted nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.data.configuration import load_config_file, parse_config
from stillwatch.data.errors import ConfigError
from stillwatch.model.bundle import Bundle
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.secrecy import KEY_VARIABLE
from stillwatch.serve.service.settings import RedisConfig, ServeConfig, StatesConfig
from stillwatch.serve.stores.counts import RedisAccountCounter
from stillwatch.serve.stores.opening import URL_VARIABLE, load_url, open_stores
from stillwatch.serve.stores.report import LinkChange
from stillwatch.serve.stores.states import RedisStateStore

NOWHERE = "unix:///nowhere/zanzibar.sock"


def test_memory_is_the_default_and_has_the_bounds_of_the_settings(repository: Path) -> None:
    assert load_config_file(ServeConfig, repository / "configs/serve.yaml").states == StatesConfig()
    told: list[LinkChange] = []
    stores = open_stores(StatesConfig(max_accounts=2), told.append, hex, {})
    assert isinstance(stores.states, MemoryStateStore)
    assert isinstance(stores.counter, MemoryAccountCounter)
    for account in "abc":
        stores.states.change(account, lambda _: (b"", None))
    assert stores.num_accounts == 2
    assert stores.degraded is None
    stores.close()
    assert told == []


def test_a_server_that_is_away_is_no_error_but_told(tmp_path: Path) -> None:
    told: list[LinkChange] = []
    stores = open_stores(StatesConfig(store="redis"), told.append, hex, {URL_VARIABLE: NOWHERE})
    assert isinstance(stores.states, RedisStateStore)
    assert isinstance(stores.counter, RedisAccountCounter)
    assert stores.degraded == "state_store_away"
    stores.close()
    assert [change.is_away for change in told] == [True]


def test_an_address_is_read_from_its_file_before_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text(f"{NOWHERE}\n")
    assert load_url(path, {URL_VARIABLE: "another"}) == NOWHERE
    assert load_url(None, {URL_VARIABLE: f" {NOWHERE}\n"}) == NOWHERE


def test_an_address_that_is_missing_or_none_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("http://zanzibar")
    cases = [
        (RedisConfig(), "set STILLWATCH_REDIS_URL"),
        (RedisConfig(url_file=tmp_path / "missing"), "cannot be read"),
        (RedisConfig(url_file=path), "not a URL of a server"),
    ]
    told: list[LinkChange] = []
    for redis, words in cases:
        with pytest.raises(ConfigError, match=words) as refused:
            open_stores(StatesConfig(store="redis", redis=redis), told.append, hex, {})
        assert "zanzibar" not in str(refused.value)


def test_an_address_in_the_settings_is_an_unknown_key() -> None:
    with pytest.raises(ConfigError, match=r"states\.redis\.url: unknown key") as refused:
        parse_config(ServeConfig, {"states": {"redis": {"url": "redis://:zanzibar@host"}}}, "settings", [])
    assert "zanzibar" not in str(refused.value)


def test_replicas_without_a_lasting_key_of_accounts_are_refused(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    settings = parse_config(ServeConfig, {"bundle": tiny_bundle.folder, "states": {"store": "redis"}}, "settings", [])
    with pytest.raises(ConfigError, match="need one account key"):
        build_service(settings)

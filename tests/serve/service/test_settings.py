"""Settings are explained, safe as they come, and refused where they are not; secrets are hashed; policy is explicit."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from stillwatch.data.configuration import load_config_file, parse_config
from stillwatch.data.errors import ConfigError
from stillwatch.serve.service.commands import serve
from stillwatch.serve.service.policy import decide_unscored
from stillwatch.serve.service.refusals import REFUSALS, UNREADABLE, Code
from stillwatch.serve.service.secrecy import KEY_VARIABLE, load_api_keys, load_hasher, make_api_key
from stillwatch.serve.service.settings import PolicyConfig, ServeConfig


def test_the_file_that_ships_names_every_key_at_its_default(repository: Path) -> None:
    path = repository / "configs/serve.yaml"
    assert load_config_file(ServeConfig, path) == ServeConfig()
    written, declared = yaml.safe_load(path.read_text()), ServeConfig().model_dump()
    assert written.keys() == declared.keys()
    assert all(written[name].keys() == part.keys() for name, part in declared.items() if isinstance(part, dict))


def test_every_key_is_explained_under_itself(repository: Path) -> None:
    lines = (repository / "serve/service/settings.py").read_text().splitlines()
    keys = [n for n, line in enumerate(lines) if re.match(r"    [a-z_]+: .* = (?!\w+Config\(\))", line)]
    assert len(keys) > 20
    assert not [lines[n] for n in keys if not lines[n + 1].startswith('    """')]


def test_as_it_comes_it_listens_on_loopback_and_blocks_nothing() -> None:
    config = ServeConfig()
    assert config.listen.is_loopback
    assert config.policy.mode == "shadow"


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("listen.host=0.0.0.0", "not loopback; set auth.keys_file"),
        ("listen.host=gateway.example", "not loopback"),
        ("policy.mode=block", "on_failure is missing"),
        ("policy.on_failure=closed", "blocks nothing"),
        ("policy.on_unreadable=closed", "blocks nothing"),
        ("queue.max_requests=3", "below limits.max_batch_requests"),
        ("queue.workers=3", "unknown key"),
        ("queue.deadline_ms=0", "greater than or equal to 1"),
    ],
)
def test_what_is_unsafe_or_wrong_is_refused_with_the_rule(override: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_config(ServeConfig, {}, "settings", [override])


def test_with_keys_any_address_may_be_bound() -> None:
    overrides = ["listen.host=0.0.0.0", "auth.keys_file=keys"]
    assert not parse_config(ServeConfig, {}, "settings", overrides).listen.is_loopback


def test_a_new_key_is_let_in_by_its_line_and_the_line_does_not_hold_it(tmp_path: Path) -> None:
    key, line = make_api_key("gateway")
    path = tmp_path / "keys"
    path.write_text(f"# ours\n\n{line}\n")
    keys = load_api_keys(path)
    assert keys.find(key) == line.partition(":")[0]
    assert keys.find(key[:-1]) is None
    assert keys.find(line.partition(":")[2]) is None
    assert key not in line
    assert make_api_key("gateway")[0] != key
    assert "gateway:" in CliRunner().invoke(serve, ["--new-key", "gateway"]).output


@pytest.mark.parametrize("content", ["", "gateway:secret", "a b:" + "0" * 64, f"a:{'0' * 64}\na:{'1' * 64}"])
def test_a_keys_file_that_is_none_is_refused_without_quoting_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_api_keys(path)
    assert "secret" not in str(caught.value)


def test_account_hashes_need_the_key_and_last_as_long_as_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("0123456789abcdef\n")
    hasher = load_hasher(path, {})
    assert hasher == load_hasher(None, {KEY_VARIABLE: "0123456789abcdef"})
    assert hasher.hash_account("zanzibar") != load_hasher(None, {}).hash_account("zanzibar")
    assert not load_hasher(None, {}).is_lasting
    assert re.fullmatch("[0-9a-f]{32}", hasher.hash_account("zanzibar"))
    assert hasher.hash_account("zanzibar") != hasher.hash_request_id("zanzibar")
    path.write_text("short")
    with pytest.raises(ConfigError, match="a key of 5 bytes"):
        load_hasher(path, {})


@pytest.mark.parametrize("code", Code)
def test_without_a_verdict_only_fail_closed_blocks_and_a_body_that_cannot_be_read_unless_told(code: Code) -> None:
    closed = decide_unscored(PolicyConfig(mode="block", on_failure="closed"), code)
    assert (closed.block, closed.enforced) == (True, True)
    assert decide_unscored(PolicyConfig(mode="block", on_failure="open"), code).block is (code in UNREADABLE)
    assert not decide_unscored(PolicyConfig(mode="block", on_failure="open", on_unreadable="open"), code).block
    shadow = decide_unscored(PolicyConfig(), code)
    assert astuple(shadow)[1:] == (False, False)
    assert REFUSALS[code][0] in range(400, 504)


@pytest.mark.parametrize(
    ("library", "extra", "command"),
    [
        ("fastapi", "serve", ["serve"]),
        ("scipy", "serve", ["calibrate", "--benign", "log.jsonl"]),
        ("mlflow", "fetch", ["fetch", "models:/stillwatch@champion", "--to", "served"]),
        ("mlflow", "train", ["runs", "list"]),
    ],
)
def test_a_missing_library_is_told_with_its_extra(library: str, extra: str, command: list[str]) -> None:
    program = f"import sys; sys.modules[{library!r}] = None\nfrom stillwatch.serve.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"is not installed; pip install 'stillwatch[{extra}]'" in done.stderr
    assert library in done.stderr


def test_the_service_loads_nothing_of_training() -> None:
    program = "import sys; import stillwatch.serve.service.running\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "fastapi" in loaded
    assert not set(loaded) & {"torch", "transformers", "mlflow", "datasets", "pandas", "sklearn", "stillwatch.train"}

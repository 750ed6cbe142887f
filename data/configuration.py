"""Reads typed configurations from YAML, with overrides from a command line.

Every wrong key, type or value is refused at once, as `file: key: rule`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from stillwatch.data.errors import ConfigError, kind_of


class Config(BaseModel):
    """A part of a configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


C = TypeVar("C", bound=BaseModel)


def load_config_file(cls: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a YAML file and apply overrides.

    Args:
        cls: the configuration's class.
        path: the YAML file.
        overrides: `key.subkey=value` pairs; list items by number (`sources.0.path=rows.jsonl`), values are YAML.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown key or a wrong value.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; the configurations that come with Stillwatch are in configs/"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML in UTF-8; mend the file") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: {kind_of(raw)} at the top; a mapping of keys is needed")
    return parse_config(cls, raw, str(path), overrides)


def parse_config(cls: type[C], raw: object, where: str, overrides: Sequence[str] = ()) -> C:
    """Validate a mapping, with pydantic's findings told as `where: key: rule; what was found`.

    Args:
        cls: the configuration's class.
        raw: the mapping; overrides are written into it.
        where: what to call it in errors.
        overrides: as for `load_config_file`.

    Raises:
        ConfigError: a key is unknown, missing, or has a wrong value.
    """
    if isinstance(raw, dict):
        for override in overrides:
            _override(raw, override)
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        lines = [
            f"{where}: {'.'.join(map(str, e['loc'])) or 'top level'}: {_rule(e['type'], e['msg'])}"
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError("\n".join(lines)) from error


def _rule(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key; remove it or check its spelling"
    if kind == "missing":
        return "missing; add it"
    return message.removeprefix("Value error, ")


def _override(raw: dict[str, object], override: str) -> None:
    key, sep, value = override.partition("=")
    if not sep or not key:
        raise ConfigError(f"override: no `=` in a pair of {len(override)} characters; write key.subkey=value")
    *parents, last = key.split(".")
    node: object = raw
    for part in parents:
        if isinstance(node, dict):
            node = node.setdefault(part, {})
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            raise ConfigError(f"override {key}: there is nothing under {part}; check the path")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {key}: the value is not YAML; quote it") from error
    if isinstance(node, dict):
        node[last] = parsed
    elif isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = parsed
    else:
        raise ConfigError(f"override {key}: there is nothing to set under {last}; check the path")

"""Reads the authored material under `data/material/`: words, exercises, code, services, documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent / "material"


@cache
def load_material(name: str) -> Any:
    """The parsed file `data/material/<name>.yaml`; it is the package's own and not checked again.

    Args:
        name: the file's stem, or a folder's name: its files come as a mapping by stem, in alphabetical order.
    """
    folder = _FOLDER / name
    if folder.is_dir():
        return {path.stem: parse_yaml(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))}
    return parse_yaml((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def parse_yaml(text: str) -> Any:
    """Parse YAML safely, with libyaml where it is built in: ten times as fast.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    if yaml.__with_libyaml__:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    return yaml.safe_load(text)


def choose_language(material: Mapping[str, object], lang: str) -> str:
    """The language to use of a mapping by language: the one asked for, else English."""
    return lang if lang in material else "en"


def load_pool(name: str, lang: str) -> Sequence[str]:
    """A pool of words of `words.yaml`, in a language or else in English."""
    pool: Mapping[str, list[str]] = load_material("words")[name]
    return pool[choose_language(pool, lang)]

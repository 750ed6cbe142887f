"""Gives code with one real bug, its fix and its log; the identifiers are renamed from pools for every draw.

The snippets are authored in `code/`; a fix is the list of replacements that turns the buggy text right. What a
library calls its own is not renamed (`csv.reader`), nor are plain words of the prose about the code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from stillwatch.data.material import load_material

_IMPORT = re.compile(r"^\s*(?:import|from|use|using|require|require_once|#include|library)\b.*$", re.MULTILINE)
_SPELT_AS_CODE = re.compile(r"\w_\w|[a-z0-9][A-Z]|\w\(")  # what marks a word of prose as an identifier
_FOLDERS = ("src", "app", "lib", "services/core", "packages/server", "internal", "jobs", "backend", "tools")


def make_code(rng: Random, lang: str) -> dict[str, object]:
    """One snippet with its bug, its fix and what went wrong.

    Args:
        rng: the only chance used.
        lang: without effect; code material speaks English.
    """
    del lang
    entry = rng.choice(_list_code())
    snippet: str = entry["snippet"]
    fixed = snippet
    for old, new in entry["fix"]:
        fixed = fixed.replace(old, new)
    new_names = _draw_names(entry["names"], fixed + snippet, rng)
    libraries = {"dataset", *re.findall(r"[A-Za-z_]\w*", " ".join(_IMPORT.findall(snippet)))}

    def rename(text: str) -> str:
        return re.sub(r"[A-Za-z_]\w*", lambda found: _rename_one(found, new_names, libraries), text).strip()

    def rename_prose(text: str) -> str:
        return re.sub(
            r"([A-Za-z_]\w*)(\(?)",
            lambda found: (
                (new_names.get(found[1], found[1]) if _SPELT_AS_CODE.search(found[0]) else found[1]) + found[2]
            ),
            text,
        ).strip()

    return {
        "language": entry["language"],
        "snippet": rename(snippet),
        "fixed": rename(fixed),
        "bug": rename_prose(entry["bug"]),
        "task": rename_prose(entry["task"]),
        "error": rename_prose(entry["error"]),
        "file": _place(entry["file"], new_names, rng),
    }


@cache
def _list_code() -> Sequence[Mapping[str, Any]]:
    return [entry for entries in load_material("code").values() for entry in entries]


def _draw_names(names: Mapping[str, Sequence[str]], text: str, rng: Random) -> dict[str, str]:
    taken = set(re.findall(r"[A-Za-z_]\w*", text))
    drawn: dict[str, str] = {}
    for old, choices in names.items():
        drawn[old] = rng.choice([name for name in choices if name == old or name not in taken])
        taken.add(drawn[old])
    return drawn


def _rename_one(found: re.Match[str], new_names: Mapping[str, str], libraries: set[str]) -> str:
    owner = re.search(r"([A-Za-z_]\w*)(?:\.|::)$", found.string[max(0, found.start() - 60) : found.start()])
    return found[0] if owner and owner[1] in libraries else new_names.get(found[0], found[0])


def _place(path: str, new_names: Mapping[str, str], rng: Random) -> str:
    *folders, name = path.split("/")
    stem, dot, ending = name.partition(".")
    roots = [root for root in _FOLDERS if not set(folders) & set(root.split("/"))]
    return "/".join([rng.choice(roots), *folders, f"{new_names.get(stem, stem)}{dot}{ending}"])

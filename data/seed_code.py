"""Gives code with one real bug, its fix and its log; the identifiers are renamed from pools for every draw.

The snippets are authored in `code.yaml`; a fix is the list of replacements that turns the buggy text right.
"""

from __future__ import annotations

import re
from random import Random

from stillwatch.data.material import load_material


def make_code(rng: Random, lang: str) -> dict[str, object]:
    """One snippet with its bug, its fix and what went wrong.

    Args:
        rng: the only chance used.
        lang: without effect; code material speaks English.
    """
    del lang
    entry = rng.choice(load_material("code"))
    fixed = entry["snippet"]
    for old, new in entry["fix"]:
        fixed = fixed.replace(old, new)
    new_names = {old: rng.choice(choices) for old, choices in entry["names"].items()}

    def rename(text: str) -> str:
        return re.sub(r"[A-Za-z_]\w*", lambda found: new_names.get(found[0], found[0]), text).strip()

    return {
        "language": entry["language"],
        "snippet": rename(entry["snippet"]),
        "fixed": rename(fixed),
        "bug": rename(entry["bug"]),
        "task": rename(entry["task"]),
        "error": rename(entry["error"]),
        "file": f"{rng.choice(_FOLDERS)}/{rename(entry['file'])}",
    }


_FOLDERS = ("src", "app", "lib", "services/core", "packages/server", "internal", "jobs", "backend", "tools")

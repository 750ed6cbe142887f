"""The requests written by hand for this project: 1,957 of them, half extraction, in seventeen languages.

Neighbouring lines are often contrastive pairs, so blocks of twenty neighbours of one pass are one family.
Labels were read by one writer only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request

BLOCK_ROWS = 20
"""How many neighbouring rows of a pass make one family."""

_FOLDER = Path(__file__).parent / "authored"


def load_authored() -> list[LabelledRequest]:
    """All authored requests, by pass and in the order they were written.

    Returns:
        records with family `authored.<pass>.<block>` and source `authored.<pass>`.
    """
    return [record for path in sorted(_FOLDER.glob("*.jsonl")) for record in _iter_pass(path)]


def _iter_pass(path: Path) -> Iterator[LabelledRequest]:
    # Not splitlines(): some requests hold U+2028, which is no line end in JSONL.
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    for number, line in enumerate(lines):
        row = json.loads(line)
        technique = row["technique"]
        messages = tuple(Message(Role(turn["role"]), turn["content"]) for turn in row["messages"])
        yield LabelledRequest(
            request=Request(messages=messages, id=row["id"]),
            label=Label(row["label"]),
            family=f"authored.{path.stem}.{number // BLOCK_ROWS:02}",
            source=f"authored.{path.stem}",
            technique=None if technique is None else Technique(technique),
            visibility=None if technique is None else Visibility.REQUEST,
            lang=row["lang"],
            license="Apache-2.0",
        )

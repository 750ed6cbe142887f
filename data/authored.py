"""The requests written for this project one by one: over five thousand, half extraction, in 22 languages, 32 passes.

Neighbouring lines are often contrastive pairs, so blocks of twenty neighbours of one pass are one family.
Labels are their writers'; the passes a to n name no attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stillwatch.data.chance import Chance
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request, Tool

BLOCK_ROWS = 20
"""How many neighbouring rows of a pass make one family."""

_FOLDER = Path(__file__).parent / "authored"


def load_authored(*, max_blocks: int | None = None, seed: int = 0) -> list[LabelledRequest]:
    """All authored requests, by pass and in the order they were written.

    Args:
        max_blocks: only this many blocks of neighbours, drawn over all passes; the blocks of a lesser number are among
            those of a greater.
        seed: of that draw.

    Returns:
        records with family `authored.<pass>.<block>` and source `authored.<pass>`.
    """
    records = [record for path in sorted(_FOLDER.glob("*.jsonl")) for record in _iter_pass(path)]
    if max_blocks is None:
        return records
    blocks = sorted({record.family for record in records})
    Chance(f"{seed}/blocks").shuffle(blocks)
    kept = set(blocks[:max_blocks])
    return [record for record in records if record.family in kept]


def _iter_pass(path: Path) -> Iterator[LabelledRequest]:
    # Not splitlines(): some requests hold U+2028, which is no line end in JSONL.
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    for number, line in enumerate(lines):
        row = json.loads(line)
        label, technique = Label(row["label"]), row["technique"]
        yield LabelledRequest(
            request=Request(
                messages=tuple(Message(Role(turn["role"]), turn["content"]) for turn in row["messages"]),
                tools=tuple(_read_tool(tool) for tool in row.get("tools", ())),
                id=row["id"],
            ),
            label=label,
            family=f"authored.{path.stem}.{number // BLOCK_ROWS:02}",
            source=f"authored.{path.stem}",
            technique=None if technique is None else Technique(technique),
            visibility=Visibility.REQUEST if label is Label.EXTRACTION else None,
            lang=row["lang"],
            license="Apache-2.0",
            attributes=tuple(row.get("attributes", ())),
        )


def _read_tool(tool: Mapping[str, Any]) -> Tool:
    return Tool(tool["name"], tool.get("description", ""), json.dumps(tool.get("parameters", {}), ensure_ascii=False))

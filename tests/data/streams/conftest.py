"""A pool of a few tiny families, rendered by the project's generator, that holds something for everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.data.streams.pool import INJECTED_FAMILIES, Pool

KINDS = ("pupil", "app", "developer", "teacher", "shopper", "analyst", "writer", "agent", "security", "organiser")
TECHNIQUES = (
    "reasoning_elicitation",
    "tool_use_probing",
    "coding_analysis",
    "preference_grading",
    "instruction_harvesting",
)
_ATTRIBUTES = {"writer": "[asks_rewriting]", "app": "[batch]"}


def write_families(folder: Path) -> Path:
    """Three benign families a persona, two extraction families a technique, one ambiguous; two languages."""
    rows = []
    for kind in KINDS:
        rows += [
            f"- {{family: honest.{kind}-{n}, label: benign, lang: {'de' if n == 2 else 'en'}, register: casual, "
            f"persona: {kind}, seed: none, attributes: {_ATTRIBUTES.get(kind, '[]')}, "
            f"system: ['Desk {n} of {{{{ company() }}}}'], "
            f"turns: [{{user: ['{kind} {n} {{{{ number(1, 99999) }}}}']}}]}}"
            for n in range(3)
        ]
    rows += [
        f"- {{family: taken.{technique}-{n}, label: extraction, technique: {technique}, visibility: request, lang: en, "
        f"register: machine, persona: harvester, seed: none, turns: [{{user: ['{technique} {n} "
        f"{{{{ number(1, 99999) }}}}']}}]}}"
        for technique in TECHNIQUES
        for n in range(2)
    ]
    rows.append(
        "- {family: measured.bench, label: ambiguous, technique: reasoning_elicitation, lang: en, register: machine, "
        "persona: evaluator, seed: none, turns: [{user: ['bench {{ number(1, 99999) }}']}]}"
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text("\n".join(rows), encoding="utf-8")
    return folder


def open_pool(folder: Path) -> Pool:
    """The tiny families with the shipped injected ones."""
    injected = Pool.from_families(INJECTED_FAMILIES, seed=1, rows_per_family=10)
    return Pool.from_families(folder, seed=1, rows_per_family=40).join(injected)


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_families(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="session")
def pool(families: Path) -> Pool:
    return open_pool(families)

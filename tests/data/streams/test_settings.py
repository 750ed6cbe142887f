"""The declarative files: what ships is whole, what is wrong is told with its place and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.labels import Label
from stillwatch.data.streams.operators import Means, load_operators
from stillwatch.data.streams.personas import SHIPPED_PERSONAS, choose_personas, load_personas
from stillwatch.data.streams.shapes import load_shapes

PERSONA = """
mine:
  about: One of ours.
  draws: {kinds: [pupil]}
  families: [1, 2]
  horizon_days: 7
  arrival: {process: sessions, size: 3}
  requests: {a_week: 10, most: 100}
"""
OPERATOR = """
mine:
  about: One of theirs.
  share: 0.5
  draws: any
  templates: [1, 2]
  arrival: {process: steady, cv: 1}
"""
SHAPE = """
mine:
  about: A campaign.
  published: {exchanges: 1000, accounts: 10, window_days: 5}
  assumed: {spread: 0.1}
  operators: {pure: 1}
"""


def test_every_asked_for_persona_and_operator_ships() -> None:
    personas = load_personas()
    assert len(personas) == 12
    assert [name for name, persona in personas.items() if persona.label is Label.AMBIGUOUS] == ["evaluator"]
    operators = load_operators()
    assert {operators[f"mixed-{share}"].share for share in (5, 10, 25, 50, 100)} == {0.05, 0.1, 0.25, 0.5, 1.0}
    assert operators["fixed-prompt"].means is Means.INJECT
    assert operators["banned-and-replaced"].size.successors == 4
    assert all(set(shape.operators) <= set(operators) for shape in load_shapes().values())


def test_without_names_only_benign_personas_are_chosen() -> None:
    assert {persona.label for persona in choose_personas(())} == {Label.BENIGN}
    assert [persona.name for persona in choose_personas(("evaluator", "casual"))] == ["evaluator", "casual"]
    with pytest.raises(ConfigError, match=r"no persona casul; use casual, "):
        choose_personas(("casul",))


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PERSONA + SHIPPED_PERSONAS.read_text("utf-8"), encoding="utf-8")
    assert next(iter(load_personas(path))) == "mine"


Reader = Callable[[Path], object]
FAULTS: list[tuple[Reader, str, str, str, str]] = [
    (load_personas, PERSONA, "kinds: [pupil]", "kind: [pupil]", "persona mine: field draws.kind: unknown; use one of"),
    (load_personas, PERSONA, "families: [1, 2]", "families: [2, 1]", "field families: a list of 2; give two whole"),
    (load_personas, PERSONA, "about: One of ours.", "about: ''", "field about: an empty string; give a text"),
    (load_personas, PERSONA, "  families: [1, 2]\n", "", "field families: null; give"),
    (load_personas, PERSONA, "process: sessions", "process: poisson", "arrival.process: a string .*use production, se"),
    (load_personas, PERSONA, "size: 3", "size: 0", "field arrival.size: a number; give a number from 1 to"),
    (load_personas, PERSONA, "size: 3", "size: 3, hours: [22, 8]", "arrival.hours: a list of 2; give first and last"),
    (load_personas, PERSONA, "size: 3", "size: 3, weekdays: [0, 0, 0, 0, 0, 0, 0]", "weekdays: .*let one day"),
    (load_personas, PERSONA, "  arrival: {process: sessions, size: 3}\n", "", "field arrival: null; give a mapping"),
    (load_personas, PERSONA, "a_week: 10", "of_traces: 2", "requests.of_traces: a number; give a number from"),
    (load_personas, PERSONA, "most: 100", "most: 1.5", "requests.most: a number; give a whole number"),
    (
        load_personas,
        PERSONA,
        "horizon_days: 7",
        "horizon_days: 7\n  label: extraction",
        "field label: .*is an operator",
    ),
    (load_personas, PERSONA, "horizon_days: 7", "horizon_days: 7\n  pins_system: 1", "pins_system: .*true or false"),
    (
        load_personas,
        PERSONA,
        "horizon_days: 7",
        "horizon_days: 7\n  sampling: {n: 3}",
        "sampling.n: a number; give a list",
    ),
    (load_personas, PERSONA, "kinds: [pupil]", "labels: [good]", "draws.labels: a list of 1; use benign, extraction"),
    (load_personas, PERSONA, "mine:", "mine: 3\nother:", "persona mine: a number; give a mapping"),
    (load_personas, PERSONA, "mine:", "mine: [", "own.yaml: not YAML at line"),
    (load_operators, OPERATOR, "share: 0.5", "share: 0", "operator mine: field share: a number; give"),
    (load_operators, OPERATOR, "share: 0.5", "share: 0.5\n  means: magic", "field means: .*; use own, inject, replay"),
    (load_operators, OPERATOR, "draws: any", "draws: {labels: [benign]}", "draws.labels: not extraction alone"),
    (
        load_operators,
        OPERATOR,
        "draws: any",
        "draws: any\n  honest: {labels: [extraction]}",
        "honest.labels: holds extr",
    ),
    (load_operators, OPERATOR, "draws: any", "draws: any\n  campaign: {accounts: 3, successors: 2}", "accounts: a num"),
    (load_shapes, SHAPE, "exchanges: 1000, ", "", "shape mine: field published.exchanges: missing"),
    (load_shapes, SHAPE, "spread: 0.1", "accounts: 3", "assumed.accounts: published as well"),
    (load_shapes, SHAPE, "accounts: 10, ", "", "field accounts: give either"),
    (load_shapes, SHAPE, "exchanges: 1000", "exchanges: 1000, peak_a_day: 900", "peak_a_day: more than twice"),
    (load_shapes, SHAPE, "  operators: {pure: 1}\n", "", "field operators: null; name operators"),
]


@pytest.mark.parametrize(("load", "text", "old", "new", "message"), FAULTS, ids=[fault[4] for fault in FAULTS])
def test_a_fault_is_told_with_its_place_and_remedy(
    load: Reader, text: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    load(path)
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert "own.yaml" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.yaml: no such file; give a YAML file of personas"):
        load_personas(tmp_path / "none.yaml")

"""Reads the template families: small YAML files that say who asks what of a model, and why.

Strict: a family that would not render, or whose label is incomplete, is refused with the place told.
Does not promise that a family is good; only that it is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import yaml

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.errors import ConfigError, SourceError, kind_of
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.material import parse_yaml
from stillwatch.data.seeds import SEED_FIELDS
from stillwatch.data.templates import find_fault

SHIPPED_FAMILIES = Path(__file__).parent / "families"
"""The folder of the families that the package ships."""

REGISTERS = frozenset({"casual", "polite", "terse", "corporate", "machine", "sloppy"})
"""How a family speaks."""

_REQUIRED = frozenset({"family", "label", "lang", "register", "persona", "seed", "turns"})
_OPTIONAL = frozenset({"technique", "visibility", "attributes", "system", "tools"})


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a family: who speaks, and the alternative Jinja2 templates of what is said."""

    role: Role
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """A template family, the unit of every split.

    Attributes:
        name: unique, `<theme>.<slug>`.
        label: benign, extraction, or ambiguous (evaluators: the words of extraction, another purpose).
        technique: None for benign.
        visibility: set for extraction alone.
        lang: ISO 639-1 code.
        register: how it speaks, one of `REGISTERS`.
        persona: who asks.
        seed: the kind of seed material that fills its slots, or None.
        attributes: what it asks for, out of `ATTRIBUTES`.
        system: alternative system prompts; an empty one means none. May be empty.
        turns: the conversation; the last turn is the user's or a tool's.
        offers_tools: whether the request carries the tools of its `api` seed.
    """

    name: str
    label: Label
    technique: Technique | None
    visibility: Visibility | None
    lang: str
    register: str
    persona: str
    seed: str | None
    attributes: tuple[str, ...]
    system: tuple[str, ...]
    turns: tuple[Turn, ...]
    offers_tools: bool


def load_families(folder: Path | None = None) -> tuple[Family, ...]:
    """Read every `*.yaml` of a folder, in the order of file names and of the files.

    Args:
        folder: the folder; None means the families that the package ships.

    Raises:
        SourceError: the folder is missing or holds no family file.
        ConfigError: a family is incomplete, unknown in a word, or would not render.
    """
    folder = SHIPPED_FAMILIES if folder is None else folder
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise SourceError(f"families: no *.yaml file in {folder}; give a folder of family files")
    families: dict[str, Family] = {}
    for path in paths:
        for family in _read_file(path):
            if family.name in families:
                raise ConfigError(f"{path.name}: family {family.name}: field family: used twice; rename one")
            families[family.name] = family
    return tuple(families.values())


def _read_file(path: Path) -> list[Family]:
    try:
        rows = parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path.name}: not YAML{line}; quote texts that hold ': ' or '{{'") from error
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path.name}: {kind_of(rows)}; a family file is a list of families")
    return [_Reader(path.name, number, row).read() for number, row in enumerate(rows, start=1)]


class _Reader:
    """Reads one family and names the file, the family and the field of whatever is wrong."""

    def __init__(self, file: str, number: int, row: object) -> None:
        self.place = f"{file}: family {number}"
        if not isinstance(row, dict):
            raise ConfigError(f"{self.place}: {kind_of(row)}; a family is a mapping")
        self.row: Mapping[str, object] = {str(key): value for key, value in row.items()}
        if isinstance(row.get("family"), str):
            self.place = f"{file}: family {row['family']}"

    def refuse(self, field: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self.place}: field {field}: {kind_of(self.row.get(field))}; {remedy}")

    def read(self) -> Family:
        for key in sorted(self.row.keys() - _REQUIRED - _OPTIONAL):
            allowed = ", ".join(sorted(_REQUIRED | _OPTIONAL))
            raise ConfigError(f"{self.place}: field {key}: unknown; use one of {allowed}")
        for key in sorted(_REQUIRED - self.row.keys()):
            raise ConfigError(f"{self.place}: field {key}: missing; every family has one")
        seed = self.word("seed", frozenset(SEED_FIELDS) | {"none"})
        label = Label(self.word("label", _values(Label)))
        for key, owners in _SAID_OF.items():
            if label in owners and self.row.get(key) is None:
                raise self.refuse(key, f"every {label} family names it")
            if label not in owners and self.row.get(key) is not None:
                raise self.refuse(key, f"{_ARTICLE[label]} {label} family has none; drop it or change the label")
        kind = None if seed == "none" else seed
        if "tools" in self.row and (self.word("tools", frozenset({"api"})), kind) != ("api", "api"):
            raise self.refuse("tools", "only a family with `seed: api` can offer its tools")
        return Family(
            name=self.word("family", None),
            label=label,
            technique=Technique(self.word("technique", _values(Technique))) if label in _SAID_OF["technique"] else None,
            visibility=(
                Visibility(self.word("visibility", _values(Visibility))) if label in _SAID_OF["visibility"] else None
            ),
            lang=self.word("lang", None),
            register=self.word("register", REGISTERS),
            persona=self.word("persona", None),
            seed=kind,
            attributes=self.attributes(),
            system=self.templates("system", self.row.get("system", []), kind),
            turns=self.turns(kind),
            offers_tools="tools" in self.row,
        )

    def word(self, field: str, allowed: frozenset[str] | None) -> str:
        value = self.row.get(field)
        if not isinstance(value, str) or not value or (allowed is not None and value not in allowed):
            choice = f"one of {', '.join(sorted(allowed))}" if allowed is not None else "a word"
            raise self.refuse(field, f"give {choice}")
        return value

    def attributes(self) -> tuple[str, ...]:
        values = self.row.get("attributes", [])
        if not isinstance(values, list):
            raise self.refuse("attributes", "give a list of words")
        for value in values:
            if value not in ATTRIBUTES:
                raise self.refuse("attributes", f"{value} is unknown; use one of {', '.join(sorted(ATTRIBUTES))}")
        return tuple(values)

    def turns(self, seed: str | None) -> tuple[Turn, ...]:
        rows = self.row["turns"]
        if not isinstance(rows, list) or not rows:
            raise self.refuse("turns", "give at least one turn, such as `- user: [...]`")
        turns = []
        for number, row in enumerate(rows):
            if not isinstance(row, dict) or len(row) != 1 or not _SPEAKERS.issuperset(row):
                raise self.refuse("turns", f"turn {number} is one of user, assistant, tool with its texts")
            ((role, texts),) = row.items()
            templates = self.templates(f"turns.{number}.{role}", texts, seed)
            if not templates or "" in templates:
                raise self.refuse("turns", f"turn {number} needs texts, none of them empty")
            turns.append(Turn(Role(role), templates))
        if turns[-1].role is Role.ASSISTANT:
            raise self.refuse("turns", "end with a user or tool turn")
        return tuple(turns)

    def templates(self, field: str, values: object, seed: str | None) -> tuple[str, ...]:
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ConfigError(f"{self.place}: field {field}: {kind_of(values)}; give a list of texts")
        for number, value in enumerate(values):
            fault = find_fault(value, seed)
            if fault is not None:
                raise ConfigError(f"{self.place}: field {field}.{number}: {fault}")
        return tuple(values)


_SAID_OF = {
    "technique": frozenset({Label.EXTRACTION, Label.AMBIGUOUS}),
    "visibility": frozenset({Label.EXTRACTION}),
}
_ARTICLE = {Label.BENIGN: "a", Label.EXTRACTION: "an", Label.AMBIGUOUS: "an"}
_SPEAKERS = frozenset({"user", "assistant", "tool"})


def _values(words: type[StrEnum]) -> frozenset[str]:
    return frozenset(word.value for word in words)

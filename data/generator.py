"""Draws labelled requests from the template families, lazily and byte-identical for a seed.

Families of one seed kind and language share their material draw by draw, so that a benign and an extraction
request of one index differ in who asks and why, never in topic or numbers. Promises no natural frequencies:
benign and extraction come equally often in any prefix; every twentieth request is an ambiguous one, where there are
such families. Families of a label take turns, each until all it could still say is a near-duplicate of what it said.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import cast

from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from stillwatch.data.chance import Chance
from stillwatch.data.duplicates import Distinct
from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.families import Family, load_families
from stillwatch.data.labels import Label, Role
from stillwatch.data.records import LabelledRequest, Message, Request, Tool
from stillwatch.data.seeds import make_seed
from stillwatch.data.slots import build_slots
from stillwatch.data.templates import compile_template

GENERATOR_VERSION = "2"
"""Changes whenever the same seed and families would give other bytes."""

_AMBIGUOUS_EVERY = 20
_MAX_DRAWS = 6  # draws of one row before its index is skipped as a near-duplicate
_MAX_FAILURES = 3  # rows skipped one after the other before a family is left for good
_NEW_MATERIAL_FROM = 3  # the draw from which the shared material is given up for fresh material
_STRIDE = 1_000_003  # keeps the redrawn material away from the indices in use


def generate(
    *, num_requests: int, seed: int, families: Path | None = None, max_families: int | None = None
) -> Iterator[LabelledRequest]:
    """Draw labelled requests.

    Args:
        num_requests: how many.
        seed: the only source of chance; equal seeds and families give equal bytes on any machine.
        families: folder of family files; None means those the package ships.
        max_families: use only this many families of each label; those of a lesser number are among those of a greater.

    Raises:
        ConfigError: a family is not usable, or fails while it renders.
        SourceError: the families have too few wordings for that many distinct requests.
    """
    loaded = _load_shipped() if families is None else load_families(families)
    sides = {
        label: _Side([family for family in loaded if family.label is label], seed, max_families) for label in Label
    }
    return _take({label: side for label, side in sides.items() if side.families}, num_requests)


@cache
def _load_shipped() -> tuple[Family, ...]:
    return load_families()


def _take(sides: Mapping[Label, _Side], num_requests: int) -> Iterator[LabelledRequest]:
    order = [label for label in (Label.EXTRACTION, Label.BENIGN) if label in sides] * (_AMBIGUOUS_EVERY // 2)
    if Label.AMBIGUOUS in sides:
        order = [*order[: _AMBIGUOUS_EVERY - 1], Label.AMBIGUOUS]
    for label in islice(cycle(order), num_requests):
        yield sides[label].draw()


class _Side:
    """The families of one label, taken in turn in an order drawn from the seed, each until it has no more to say."""

    def __init__(self, families: list[Family], seed: int, max_families: int | None) -> None:
        self.seed = seed
        self.families = sorted(families, key=lambda family: family.name)
        Chance(f"{seed}/order").shuffle(self.families)
        self.families = self.families[:max_families]
        self.sources = deque(_Source(family, seed) for family in self.families)
        self.num_drawn = 0

    def draw(self) -> LabelledRequest:
        while self.sources:
            source = self.sources.popleft()
            record = source.draw()
            if source.num_failures < _MAX_FAILURES:
                self.sources.append(source)
            if record is not None:
                self.num_drawn += 1
                return record
        raise SourceError(
            f"families: no new {self.families[0].label} request after {self.num_drawn}; "
            "ask for fewer requests or add families and wordings"
        )


class _Source:
    """One family with the requests that it has given; no two of them are near-duplicates."""

    def __init__(self, family: Family, seed: int) -> None:
        self.family = family
        self.seed = seed
        self.given = Distinct()
        self.num_turns = 0
        self.num_failures = 0  # in a row

    def draw(self) -> LabelledRequest | None:
        """The next request; None where several draws gave nothing new."""
        index = self.num_turns
        self.num_turns += 1
        for attempt in range(_MAX_DRAWS):
            material = index if attempt < _NEW_MATERIAL_FROM else index + attempt * _STRIDE
            record = render_family(self.family, index=index, material=material, attempt=attempt, seed=self.seed)
            if self.given.add("\n".join(message.content for message in record.request.messages)):
                self.num_failures = 0
                return record
        self.num_failures += 1
        return None


def render_family(
    family: Family, *, index: int, seed: int, material: int | None = None, attempt: int = 0
) -> LabelledRequest:
    """Render one request of a family.

    Args:
        family: the family.
        index: the draw's number within the family; part of the id.
        seed: the generator's seed.
        material: number of the shared material; None means `index`.
        attempt: number of the redraw; another one gives another wording.

    Raises:
        ConfigError: a template fails on its slots.
    """
    number = index if material is None else material
    wording = Chance(f"{seed}/{family.name}/{index}/{attempt}")
    facts = Chance(f"{seed}/facts/{family.lang}/{number}")
    context = dict(build_slots(wording=wording, facts=facts, lang=family.lang))
    tools: tuple[Tool, ...] = ()
    if family.seed is not None:
        chance = Chance(f"{seed}/{family.seed}/{family.lang}/{number}")
        drawn = make_seed(family.seed, chance, family.lang)
        context[family.seed] = drawn
        tools = _read_tools(drawn) if family.offers_tools else ()
    messages = []
    if family.system:
        messages.append(Message(Role.SYSTEM, _render(family, wording.choice(family.system), context)))
    messages += [Message(turn.role, _render(family, wording.choice(turn.templates), context)) for turn in family.turns]
    return LabelledRequest(
        request=Request(
            messages=tuple(message for message in messages if message.content),
            tools=tools,
            id=f"generated/{family.name}/{index}",
        ),
        label=family.label,
        family=family.name,
        source="generated",
        technique=family.technique,
        visibility=family.visibility,
        lang=family.lang,
        kind=family.persona if family.label is Label.BENIGN else None,
        license="Apache-2.0",
        attributes=family.attributes,
    )


def _render(family: Family, source: str, context: Mapping[str, object]) -> str:
    try:
        text = compile_template(source).render(context)
    except (UndefinedError, SecurityError, TypeError, ValueError) as error:
        raise ConfigError(
            f"family {family.name}: a template fails while it renders ({error}); mend its slots"
        ) from error
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _read_tools(seed: Mapping[str, object]) -> tuple[Tool, ...]:
    tools = cast("list[dict[str, object]]", seed["tools"])
    return tuple(
        Tool(
            name=str(tool["name"]),
            description=str(tool["description"]),
            parameters=json.dumps(tool["parameters"], ensure_ascii=False, separators=(",", ":")),
        )
        for tool in tools
    )

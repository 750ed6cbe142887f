"""What one account says, request by request: an honest persona's texts, and an operator's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Protocol

from stillwatch.data.chance import Chance
from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Technique
from stillwatch.data.records import LabelledRequest, Sampling
from stillwatch.data.streams.conversation import Conversation
from stillwatch.data.streams.decks import Deck, Pin, drop_systems, take_systems
from stillwatch.data.streams.habits import GrowthConfig, SamplingConfig
from stillwatch.data.streams.operators import Means, Operator
from stillwatch.data.streams.personas import Persona
from stillwatch.data.streams.pool import Group, Pool

_SECOND_LANGUAGE_SHARE = 0.2
_MOST_STORED_TURNS = 6
_SEARCHED_ROWS = 256  # rows of a family that are looked through for a system text


class Texts(Protocol):
    """The texts of one account, in order."""

    def say(self, gap_s: float) -> tuple[Conversation, Sampling]:
        """The conversation as it stands at the next request, `gap_s` seconds after the last one."""


class _Talk(ABC):
    """Goes on with a conversation or begins another; subclasses say how one begins."""

    __slots__ = ("chance", "current", "fixed", "growth", "sampling")

    def __init__(self, chance: Random, growth: GrowthConfig, sampling: SamplingConfig) -> None:
        self.chance, self.growth, self.sampling = chance, growth, sampling
        self.fixed = sampling.draw(chance)
        self.current: Conversation | None = None

    def say(self, gap_s: float) -> tuple[Conversation, Sampling]:
        chance, talk = self.chance, self.current
        if talk is not None and talk.may_go_on(self.growth, gap_s) and chance.random() < self.growth.share:
            talk.grow(chance, by_tools=self.growth.by_tools)
        else:
            talk = self.current = self.begin()
        return talk, self.sampling.draw(chance) if self.sampling.varies else self.fixed

    @abstractmethod
    def begin(self) -> Conversation:
        """The next conversation."""


class PersonaTexts(_Talk):
    """An honest account: a few families in one or two languages."""

    __slots__ = ("decks", "pin")

    def __init__(self, pool: Pool, persona: Persona, key: str) -> None:
        """Draw what the account sticks to.

        Args:
            pool: the texts.
            persona: who it is.
            key: the seed's text.

        Raises:
            ConfigError: the pool holds nothing that the persona draws.
        """
        super().__init__(Chance(f"{key}/texts"), persona.growth, persona.sampling)
        chance, who = self.chance, f"persona {persona.name}"
        shelf = pool.select(persona.draws, who)
        langs = [shelf.draw(chance).lang]
        for _ in range(chance.randint(*persona.languages) - 1):
            others = sorted({group.lang for group in shelf.groups} - set(langs))
            langs += [chance.choice(others)] if others else []
        self.decks = [
            [
                Deck(group, chance)
                for group in pool.select(persona.draws, who, lang=lang).draw_some(
                    chance, chance.randint(*persona.families)
                )
            ]
            for lang in langs
        ]
        self.pin = Pin() if persona.pins_system else None

    def begin(self) -> Conversation:
        """Deal a row: most from the first family, most in the first language."""
        chance = self.chance
        second = len(self.decks) > 1 and chance.random() < _SECOND_LANGUAGE_SHARE
        decks = self.decks[chance.randrange(1, len(self.decks)) if second else 0]
        row = decks[int(len(decks) * chance.random() ** 2)].deal()
        return Conversation.open(row, self.pin.apply(row.request.messages) if self.pin is not None else None)


@dataclass(frozen=True, slots=True)
class Playbook:
    """What all accounts of a campaign share under one operator.

    Attributes:
        operator: how it extracts.
        key: the seed's text.
        templates: its families, in the order of rotation.
        injected: for each template the row whose system text is injected; empty unless it injects.
    """

    operator: Operator
    key: str
    templates: tuple[Group, ...]
    injected: tuple[LabelledRequest, ...]

    @classmethod
    def draw(cls, pool: Pool, operator: Operator, key: str) -> Playbook:
        """Draw the templates of a campaign, by technique in turn.

        Raises:
            ConfigError: the pool holds nothing that the operator draws.
        """
        chance = Chance(f"{key}/playbook")
        injects = operator.means is Means.INJECT
        shelf = pool.select(operator.draws, f"operator {operator.name}", with_system=injects)
        num = chance.randint(*operator.templates)
        groups = shelf.draw_some(chance, min(4 * num, len(shelf.groups)))
        chance.shuffle(groups)
        seen: Counter[Technique | None] = Counter()
        ranks = []
        for place, group in enumerate(groups):
            seen[group.technique] += 1
            ranks.append((seen[group.technique], place))
        templates = tuple(groups[place] for _, place in sorted(ranks)[:num])
        return cls(operator, key, templates, tuple(_find_system(g, operator, chance) for g in templates if injects))


class OperatorTexts(_Talk):
    """One account of a campaign: extraction by the playbook, mixed with relayed honest requests."""

    __slots__ = ("decks", "pins", "playbook", "pool", "sent")

    def __init__(self, pool: Pool, playbook: Playbook, manners: Persona | None, key: str) -> None:
        """Draw the account's place in the rotation.

        Args:
            pool: the texts.
            playbook: what the campaign shares.
            manners: the persona whose sampling and follow-ups it has; None means the operator's own.
            key: the account's seed text.
        """
        operator = playbook.operator
        who = manners or operator
        super().__init__(Chance(f"{key}/texts"), who.growth, who.sampling)
        self.pool, self.playbook = pool, playbook
        self.decks = [Deck(group, self.chance) for group in playbook.templates]
        self.pins = [Pin() for _ in self.decks]
        turns = min(operator.rotate_every * len(self.decks), 10**9)
        self.sent = self.chance.randrange(turns) if operator.rotate_every < 10**9 else 0

    def begin(self) -> Conversation:
        """Begin an extraction conversation with the operator's share, else relay an honest one."""
        operator = self.playbook.operator
        place = self.sent // operator.rotate_every % len(self.decks)
        self.sent += 1
        if self.chance.random() >= operator.share:
            return Conversation.open(self._relay(self.chance))
        if operator.means is Means.INJECT:
            named, honest = self.playbook.injected[place], self._relay(self.chance)
            messages = take_systems(named.request.messages) + honest.request.messages
            return Conversation(named, honest.request, honest.lang, messages)
        row = self.decks[place].deal()
        if operator.means is Means.REPLAY:
            return self._replay(row)
        return Conversation.open(row, self.pins[place].apply(row.request.messages) if operator.pins_system else None)

    def _relay(self, chance: Random) -> LabelledRequest:
        operator = self.playbook.operator
        rows = self.pool.select(operator.honest, f"operator {operator.name}, field honest").draw(chance).rows
        return rows[chance.randrange(len(rows))]

    def _replay(self, row: LabelledRequest) -> Conversation:
        number = self.chance.randrange(self.playbook.operator.stored_sessions)
        stored = Chance(f"{self.playbook.key}/session/{number}")
        session = Conversation.open(self._relay(stored))
        for _ in range(stored.randrange(_MOST_STORED_TURNS)):
            session.grow(stored, by_tools=False)
        session.grow(stored, by_tools=False)
        messages = row.request.messages
        systems = take_systems(messages) or take_systems(session.messages)
        turns = drop_systems(session.messages)[:-1] + drop_systems(messages)  # its last question gives way
        return Conversation(row, session.request, session.lang, systems + turns)


def _find_system(group: Group, operator: Operator, chance: Random) -> LabelledRequest:
    start = chance.randrange(len(group.rows))
    for step in range(min(len(group.rows), _SEARCHED_ROWS)):
        row = group.rows[(start + step) % len(group.rows)]
        if take_systems(row.request.messages):
            return row
    raise ConfigError(
        f"operator {operator.name}: no row of family {group.family} carries a system text to inject; "
        "use more rows of each family"
    )

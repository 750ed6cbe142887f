"""Makes streams: honest accounts, campaigns, crowds of both, and their requests merged in time order.

Everything is a lazy sequence: `accounts[i]` alone gives account `i`, from the seed and its number, so work can be
split over processes and a million accounts need not fit in memory. Equal arguments give equal bytes on any
machine. It promises plausible streams, not real ones: see the notes in `personas.yaml` and `operators.yaml`.
"""

from __future__ import annotations

import heapq
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, islice
from typing import overload

from stillwatch.data.chance import Chance
from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest
from stillwatch.data.streams.operators import Operator, load_operators
from stillwatch.data.streams.personas import Persona, choose_personas
from stillwatch.data.streams.planning import CampaignPlan
from stillwatch.data.streams.pool import Pool
from stillwatch.data.streams.rhythms import DAY_S
from stillwatch.data.streams.schedule import Schedule
from stillwatch.data.streams.shapes import Shape, load_shapes, shape_of
from stillwatch.data.streams.stream import Stream, name_account
from stillwatch.data.streams.texts import OperatorTexts, PersonaTexts, Playbook

START_S = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC: when streams begin unless told."""


class Streams(Sequence[Stream]):
    """Streams by number, made when asked for."""

    @abstractmethod
    def make(self, index: int) -> Stream:
        """Make the stream of that number, from 0."""

    @overload
    def __getitem__(self, index: int) -> Stream: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Stream]: ...
    def __getitem__(self, index: int | slice) -> Stream | Sequence[Stream]:
        """One stream, or some of them."""
        numbers = range(len(self))
        if isinstance(index, slice):
            return [self.make(number) for number in numbers[index]]
        return self.make(numbers[index])

    def __iter__(self) -> Iterator[Stream]:
        """All streams in the order of their numbers, one at a time."""
        return map(self.make, range(len(self)))


class Accounts(Streams):
    """Honest accounts, and evaluators where asked for by name; see `simulate_accounts`."""

    def __init__(
        self, pool: Pool, personas: Sequence[Persona], num_accounts: int, seed: int, start_s: float, days: float | None
    ) -> None:
        """Keep the arguments of `simulate_accounts`, checked."""
        if not personas or num_accounts < 0:
            raise ConfigError("accounts: no persona, or a number below 0; name personas and how many accounts")
        self.pool, self.personas, self.num_accounts = pool, tuple(personas), num_accounts
        self.seed, self.start_s, self.days = seed, start_s, days
        self._weights = list(accumulate(persona.weight for persona in personas))
        for persona in personas:
            pool.select(persona.draws, f"persona {persona.name}")

    def __len__(self) -> int:
        """How many accounts."""
        return self.num_accounts

    def make(self, index: int) -> Stream:
        """Make the account of that number."""
        key = f"{self.seed}/account/{index}"
        chance = Chance(key)
        (persona,) = chance.choices(self.personas, cum_weights=self._weights)
        days = persona.horizon_days if self.days is None else self.days
        rhythm, rate_rps = persona.arrival.settle(chance)
        count = persona.count.draw(chance, rate_rps, days)
        schedule = Schedule(key, count, self.start_s, self.start_s + days * DAY_S, rhythm)
        texts = partial(PersonaTexts, self.pool, persona, key)
        return Stream(name_account(key), persona.label, persona.name, None, None, schedule, texts)


class Campaign(Streams):
    """The accounts of one campaign; see `simulate_campaign`."""

    def __init__(self, pool: Pool, plan: CampaignPlan) -> None:
        """Keep the plan and draw the playbooks that the accounts share."""
        self.pool, self.plan = pool, plan
        self.playbooks = {
            operator.name: Playbook.draw(pool, operator, f"{plan.key}/{operator.name}") for operator in plan.operators
        }

    def __len__(self) -> int:
        """How many accounts."""
        return len(self.plan)

    def make(self, index: int) -> Stream:
        """Make the account of that number."""
        post = self.plan.lay_out(index)
        key, name = post.schedule.key, post.operator.name
        texts = partial(OperatorTexts, self.pool, self.playbooks[name], post.manners, key)
        return Stream(name_account(key), Label.EXTRACTION, None, name, self.plan.id, post.schedule, texts)


class Crowd(Streams):
    """Several lots of streams as one."""

    def __init__(self, lots: Sequence[Streams]) -> None:
        """Keep the lots; they come one after the other."""
        self.lots = lots

    def __len__(self) -> int:
        """How many accounts in all."""
        return sum(map(len, self.lots))

    def make(self, index: int) -> Stream:
        """Make the account of that number."""
        for lot in self.lots:
            if index < len(lot):
                return lot.make(index)
            index -= len(lot)
        raise IndexError(index)


def simulate_accounts(
    pool: Pool,
    *,
    num_accounts: int,
    seed: int,
    personas: Sequence[Persona] | None = None,
    families: Iterable[str] | None = None,
    start_s: float = START_S,
    days: float | None = None,
) -> Accounts:
    """Simulate honest accounts.

    Args:
        pool: the texts.
        num_accounts: how many.
        seed: the only source of chance.
        personas: who they are, by their weights; None means all shipped ones whose streams are benign.
        families: the families to draw from; None means all of the pool.
        start_s: Unix time at which they begin.
        days: how long they live, in place of the personas' own horizons.

    Raises:
        ConfigError: the pool holds nothing that a persona draws.
        SourceError: a family is not in the pool.
    """
    chosen = choose_personas(()) if personas is None else personas
    return Accounts(_keep(pool, families), chosen, num_accounts, seed, start_s, days)


def simulate_campaign(
    pool: Pool,
    *,
    shape: str | Shape | Operator,
    seed: int,
    scale: float = 1.0,
    operators: Mapping[str, Operator] | None = None,
    personas: Sequence[Persona] | None = None,
    families: Iterable[str] | None = None,
    start_s: float = START_S,
) -> Campaign:
    """Simulate a campaign.

    Args:
        pool: the texts.
        shape: a disclosed shape, by name or as read; or an operator, whose own size is then taken.
        seed: the only source of chance.
        scale: 1 is the published size; an account sends the same at every scale.
        operators: operators by name; None means the shipped ones.
        personas: whose manners accounts may take on; None means all shipped ones whose streams are benign.
        families: the families to draw from; None means all of the pool.
        start_s: Unix time at which it begins.

    Raises:
        ConfigError: the shape or an operator is unknown, the scale is not above 0, or the pool holds nothing
            that an operator draws.
        SourceError: a family is not in the pool.
    """
    known = load_operators() if operators is None else operators
    if isinstance(shape, Operator):
        known, shape = {**known, shape.name: shape}, shape_of(shape)
    elif isinstance(shape, str):
        shape = find_shape(shape, load_shapes())
    mimicked = choose_personas(()) if personas is None else personas
    plan = CampaignPlan(shape, known, mimicked, scale=scale, seed=seed, start_s=start_s)
    return Campaign(_keep(pool, families), plan)


def simulate_crowd(
    pool: Pool,
    *,
    num_accounts: int,
    shapes: Mapping[str, float],
    seed: int,
    personas: Sequence[Persona] | None = None,
    families: Iterable[str] | None = None,
    start_s: float = START_S,
    days: float | None = None,
) -> Crowd:
    """Simulate honest accounts and campaigns among them: the honest ones first, then the campaigns.

    Args:
        pool: the texts.
        num_accounts: how many honest accounts.
        shapes: disclosed shapes with their scales.
        seed: the only source of chance.
        personas: as for `simulate_accounts`.
        families: the families to draw from; None means all of the pool.
        start_s: Unix time at which all begin.
        days: how long the honest accounts live, in place of the personas' own horizons.

    Raises:
        ConfigError: see `simulate_accounts` and `simulate_campaign`.
        SourceError: a family is not in the pool.
    """
    kept = _keep(pool, families)
    honest = simulate_accounts(
        kept, num_accounts=num_accounts, seed=seed, personas=personas, start_s=start_s, days=days
    )
    lots: list[Streams] = [honest]
    for shape, scale in shapes.items():
        lots.append(simulate_campaign(kept, shape=shape, scale=scale, seed=seed, personas=personas, start_s=start_s))
    return Crowd(lots)


def merge_streams(streams: Iterable[Stream], first: int | None = None) -> Iterator[LabelledRequest]:
    """The requests of many streams in time order, as a gateway sees them; ties by account.

    A stream is held unopened until its account begins and let go after its last request; an open one costs about
    ten kilobytes.

    Args:
        streams: of different accounts.
        first: how many requests of each account, from its first; None means all.
    """
    waiting: list[tuple[float, str, LabelledRequest | None, Iterator[LabelledRequest]]]
    waiting = [(stream.schedule.begin_s, stream.account, None, islice(stream, first)) for stream in streams]
    heapq.heapify(waiting)
    while waiting:
        _, account, record, rest = waiting[0]
        if record is not None:
            yield record
        following = next(rest, None)
        if following is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (following.request.time_s or 0.0, account, following, rest))


def find_shape(name: str, shapes: Mapping[str, Shape]) -> Shape:
    """A shape by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in shapes:
        raise ConfigError(f"shape {name}: unknown; use one of {', '.join(shapes)}")
    return shapes[name]


def _keep(pool: Pool, families: Iterable[str] | None) -> Pool:
    return pool if families is None else pool.keep_only(families)

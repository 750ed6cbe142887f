"""Lays a campaign out: which account runs which operator, when, and how much it sends. Needs no texts.

An account's place in the plan is its number: account `index` is the successor `index % successors` of the place
`index // successors`. Only the places' counts are kept in memory, eight bytes each.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from stillwatch.data.chance import Chance
from stillwatch.data.errors import ConfigError
from stillwatch.data.streams.operators import Operator
from stillwatch.data.streams.personas import Persona
from stillwatch.data.streams.schedule import Envelope, Schedule
from stillwatch.data.streams.shapes import Shape, measure_extent


@dataclass(frozen=True, slots=True)
class Post:
    """One account of a campaign: its operator, its schedule, and the persona whose manners it has, or None."""

    operator: Operator
    schedule: Schedule
    manners: Persona | None


class CampaignPlan:
    """The accounts of a campaign, any of which can be laid out alone."""

    def __init__(
        self,
        shape: Shape,
        operators: Mapping[str, Operator],
        personas: Sequence[Persona],
        *,
        scale: float,
        seed: int,
        start_s: float,
    ) -> None:
        """Divide the exchanges over the places.

        Args:
            shape: what was disclosed.
            operators: operators by name.
            personas: at least one; whose manners accounts take on.
            scale: 1 is the published size.
            seed: the only source of chance.
            start_s: Unix time at which the campaign begins.

        Raises:
            ConfigError: the shape names an unknown operator, or the scale is not above 0.
        """
        unknown = sorted(shape.operators.keys() - operators.keys())
        if unknown:
            raise ConfigError(f"shape {shape.name}: no operator {unknown[0]}; use {', '.join(operators)}")
        self.shape = shape
        self.extent = measure_extent(shape, scale)
        self.key = f"{seed}/campaign/{shape.name}"
        self.id = f"campaign-{hashlib.blake2b(self.key.encode(), digest_size=5).hexdigest()}"
        end_s = start_s + self.extent.window_s
        self.envelope = Envelope(start_s, end_s, self.extent.peak)
        self.operators = [operators[name] for name in shape.operators]
        self._weights = list(accumulate(shape.operators.values()))
        self._personas = tuple(personas)
        self._ends = self._divide()

    def __len__(self) -> int:
        """How many accounts."""
        return self.extent.accounts

    def lay_out(self, index: int) -> Post:
        """Lay one account out.

        Args:
            index: its number, from 0.
        """
        place, turn = divmod(index, self.extent.successors)
        chance = Chance(f"{self.key}/place/{place}")
        (operator,) = chance.choices(self.operators, cum_weights=self._weights)
        lives = [chance.gammavariate(2.0, 1.0) for _ in range(self.extent.successors)]
        cuts = [0.0, *(sum(lives[: number + 1]) / sum(lives) for number in range(len(lives)))]
        cuts[-1] = 1.0
        spare = self._ends[place] - (self._ends[place - 1] if place else 0) - self.extent.successors
        low, high = (round(spare * _fill(cuts[turn + step], self.extent.peak)) for step in (0, 1))
        begin_s, length_s = self.envelope.begin_s, self.extent.window_s
        key = f"{self.key}/account/{index}"
        chance = Chance(f"{key}/manners")
        manners = chance.choice(self._personas) if chance.random() < operator.mimics else None
        arrival = operator.arrival if manners is None or operator.keeps_pace else manners.arrival
        rhythm, _ = arrival.settle(chance)
        schedule = Schedule(
            key=key,
            num_requests=1 + high - low,
            begin_s=begin_s + length_s * cuts[turn],
            end_s=begin_s + length_s * cuts[turn + 1],
            rhythm=rhythm,
            envelope=self.envelope if self.extent.peak > 1 else None,
        )
        return Post(operator, schedule, manners)

    def _divide(self) -> array[int]:
        """Exchanges of all places up to and with each one: their sum is exact, an exchange each account at least."""
        chance = Chance(f"{self.key}/places")
        spread, least = self.extent.spread, self.extent.successors
        sums = list(accumulate(math.exp(spread * chance.gauss(0.0, 1.0)) for _ in range(self.extent.places)))
        spare = self.extent.exchanges - self.extent.accounts
        return array("q", (round(spare * part / sums[-1]) + least * (n + 1) for n, part in enumerate(sums)))


def _fill(place: float, peak: float) -> float:
    """The share of the volume that is sent before a place (0 to 1) of the window: the envelope's integral."""
    triangle = place * place if place <= 0.5 else 2 * place - place * place - 0.5
    return (2 - peak) * place + 2 * (peak - 1) * triangle

"""The suite of campaigns: how much of a disclosed campaign leaks before it is flagged.

A campaign counts as flagged when `ENOUGH` of its accounts are (all of them where it has fewer): at the promised rate
hardly any honest group of accounts with a skeleton in common holds so many. Everything that any of its accounts sent
before that moment has leaked. Without counts over accounts nobody knows that the accounts belong together: each is
stopped at its own flag, and what each sent before has leaked.

A scaled campaign has fewer accounts that send as much each, so its leaked share is an upper bound for the disclosed
size: the first flags come after about as many exchanges in both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.streams.operators import load_operators
from stillwatch.data.streams.personas import choose_personas
from stillwatch.data.streams.simulator import simulate_campaign
from stillwatch.train.intervals import Interval
from stillwatch.train.streams.corpus import Member, StreamCorpus
from stillwatch.train.streams.evaluation import LeakFigures
from stillwatch.train.streams.rotations import MEASURED_SEED, Workshop
from stillwatch.train.streams.suite_settings import CampaignSuiteConfig, ShapeConfig

ENOUGH = 3
"""Flagged accounts that make a campaign."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One campaign: share of its exchanges leaked with and without counts over accounts, and its size."""

    leaked: float
    leaked_alone: float
    is_flagged: bool
    num_accounts: int
    num_exchanges: int
    accounts_flagged: float


def build_shape(workshop: Workshop, suite: CampaignSuiteConfig, shape: ShapeConfig, *, place: int) -> StreamCorpus:
    """The accounts of a rotation's campaigns of one shape, as far as they are followed."""
    operators = load_operators()
    manners = choose_personas(workshop.holdout.personas["test"])
    seed = workshop.config.seed * 100 + MEASURED_SEED + 1000 * (place + 1)
    members: list[Member] = []
    for number in range(shape.campaigns):
        campaign = simulate_campaign(
            workshop.pools["test"],
            shape=operators.get(shape.name, shape.name),
            scale=shape.scale,
            seed=seed + number,
            personas=manners,
        )
        members += [Member(stream, shape.name) for stream in campaign[: shape.most_accounts]]
    return workshop.build(f"shape-{shape.name}", members, first=suite.requests)


def measure_leaks(world: StreamCorpus, flags: NDArray[np.int64], alone: NDArray[np.int64]) -> list[Leak]:
    """What leaked of each campaign.

    Args:
        world: accounts of campaigns.
        flags: request of each account's flag, 0 for none, with counts over accounts.
        alone: the same without.
    """
    campaigns: dict[str, list[int]] = defaultdict(list)
    for number, member in enumerate(world.members):
        campaigns[str(member.stream.campaign)].append(number)
    leaks = []
    for numbers in campaigns.values():
        times = [list(world.members[number].stream.schedule.iter_times()) for number in numbers]
        total = sum(map(len, times))
        moments = sorted(times[place][flags[number] - 1] for place, number in enumerate(numbers) if flags[number] > 0)
        enough = min(ENOUGH, len(numbers))
        is_flagged = len(moments) >= enough
        before = total
        if is_flagged:
            before = sum(bisect_left(each, moments[enough - 1]) for each in times) + 1
        stopped = sum(
            int(alone[number]) if alone[number] > 0 else len(each) for number, each in zip(numbers, times, strict=True)
        )
        caught = sum(flags[number] > 0 for number in numbers) / len(numbers)
        leaks.append(Leak(before / total, stopped / total, is_flagged, len(numbers), total, float(caught)))
    return leaks


def sum_up(leaks: Sequence[Leak]) -> LeakFigures:
    """Campaigns of one shape over all rotations: means, with the lowest and highest campaign."""
    return LeakFigures(
        leaked=_spread([leak.leaked for leak in leaks]),
        leaked_alone=_spread([leak.leaked_alone for leak in leaks]),
        flagged=sum(leak.is_flagged for leak in leaks),
        num_campaigns=len(leaks),
        num_accounts=sum(leak.num_accounts for leak in leaks),
        num_exchanges=sum(leak.num_exchanges for leak in leaks),
        accounts_flagged=float(np.mean([leak.accounts_flagged for leak in leaks])),
    )


def _spread(values: Sequence[float]) -> Interval:
    return Interval(min(values), float(np.mean(values)), max(values))

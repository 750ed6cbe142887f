"""Honest users to train on, drawn at random beside the few personas that a rotation knows.

A network that has met seven ways to be honest takes an eighth for an operator's: in one rotation the thirty honest
accounts with the highest logits were all of one persona that it had never met. The draw mixes freely what the personas
of the file have in fixed combinations: how many templates an account sends, whether it keeps one system text, how
conversations grow, parameters, times and volume, the last less than that of the busiest back ends. It is an assumption
about what could be, not a measurement, and a drawn user may come close to a persona that a rotation holds out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from stillwatch.data.chance import log_uniform
from stillwatch.data.labels import Label
from stillwatch.data.streams.habits import GrowthConfig, SamplingConfig
from stillwatch.data.streams.pace import ArrivalConfig, CountConfig, Process
from stillwatch.data.streams.personas import Persona
from stillwatch.data.streams.pool import Draws

_TEMPERATURES = (None, 0.0, 0.2, 0.3, 0.5, 0.7, 1.0)
_MAX_TOKENS = (None, 16, 64, 256, 512, 1024, 2048, 4096, 8192)
_NUM_ANSWERS = (None, None, None, 1, 3)
_MOST_FAMILIES = 40
_ANY_KIND_SHARE = 0.3


def draw_persona(kinds: Sequence[str], *, seed: str) -> Persona:
    """Draw an honest user.

    Args:
        kinds: kinds of use that the texts have; most users keep to a few.
        seed: the text that all chance comes from; it becomes part of the name.
    """
    chance = Random(f"{seed}/persona")
    most = round(log_uniform(chance, 1, _MOST_FAMILIES))
    any_kind = not kinds or chance.random() < _ANY_KIND_SHARE
    return Persona(
        name=f"drawn-{seed.replace('/', '-')}",
        about="Drawn at random.",
        label=Label.BENIGN,
        weight=1.0,
        draws=Draws(
            labels=(Label.BENIGN,),
            kinds=() if any_kind else tuple(chance.sample(kinds, min(len(kinds), chance.randint(1, 4)))),
        ),
        families=(math.ceil(most / 3), most),
        pins_system=chance.random() < 0.4,
        languages=(1, chance.choice((1, 1, 2))),
        growth=_draw_growth(chance),
        sampling=_draw_sampling(chance),
        horizon_days=chance.uniform(7, 42),
        arrival=_draw_arrival(chance),
        count=CountConfig(a_week=log_uniform(chance, 8, 3000), of_traces=0.0, spread=0.6, most=20_000),
    )


def _draw_growth(chance: Random) -> GrowthConfig:
    return GrowthConfig(
        share=0.0 if chance.random() < 0.3 else chance.uniform(0.1, 0.95),
        most=round(log_uniform(chance, 2, 40)),
        within_s=chance.choice((900.0, 1800.0, 7200.0)),
        by_tools=chance.random() < 0.2,
    )


def _draw_sampling(chance: Random) -> SamplingConfig:
    return SamplingConfig(
        temperature=tuple(chance.sample(_TEMPERATURES, chance.randint(1, 3))),
        max_tokens=tuple(chance.sample(_MAX_TOKENS, chance.randint(1, 3))),
        n=(chance.choice(_NUM_ANSWERS),),
        varies=chance.random() < 0.25,
    )


def _draw_arrival(chance: Random) -> ArrivalConfig:
    begin = chance.uniform(0, 14)
    weekend = chance.choice((0.0, 0.2, 1.0, 1.0, 1.6))
    return ArrivalConfig(
        process=chance.choices((Process.SESSIONS, Process.PRODUCTION, Process.STEADY), (6, 3, 1))[0],
        size=log_uniform(chance, 2, 400),
        gap_s=None if chance.random() < 0.5 else log_uniform(chance, 1, 300),
        hours=(begin, min(24.0, begin + chance.uniform(4, 24))),
        weekdays=(1.0,) * 5 + (weekend,) * 2,
        cv=log_uniform(chance, 0.3, 2.0),
    )

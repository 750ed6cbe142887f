"""Operators to train on, drawn at random, so that every named one is new to the model that is measured on it.

The draw covers shares of extraction, means, templates, rotation, manners and pace far beyond what anybody disclosed;
it is an assumption about what could be, not a measurement.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from stillwatch.data.chance import log_uniform
from stillwatch.data.labels import TECHNIQUES, Label
from stillwatch.data.streams.operators import Means, Operator
from stillwatch.data.streams.pool import Draws

_ANY = Draws(labels=(Label.EXTRACTION,))
_INJECTED = Draws(labels=(Label.EXTRACTION,), themes=("injected",))
_MEANS = (Means.OWN, Means.INJECT, Means.REPLAY)
_MEANS_WEIGHTS = (6, 2, 2)
_LEAST_SHARE = 0.04


def draw_operator(named: dict[str, Operator], *, seed: str, num_accounts: int, num_requests: int) -> Operator:
    """Draw an operator.

    Args:
        named: named operators, whose arrivals, sampling and follow-ups are recombined; nothing else of them is used.
        seed: the text that all chance comes from; it becomes part of the name.
        num_accounts: accounts of the campaign.
        num_requests: mean requests of an account.
    """
    chance = Random(f"{seed}/operator")
    (means,) = chance.choices(_MEANS, _MEANS_WEIGHTS)
    manners = [named[name] for name in sorted(named)]
    paced, sampled, grown = (chance.choice(manners) for _ in range(3))
    share = 1.0 if chance.random() < 0.35 else log_uniform(chance, _LEAST_SHARE, 1)
    few = chance.randint(1, 4)
    return replace(
        manners[0],
        name=f"drawn-{seed.replace('/', '-')}",
        about="Drawn at random.",
        share=share if means is Means.OWN else max(share, 0.3),
        means=means,
        draws=_INJECTED if means is Means.INJECT else _draw_techniques(chance),
        honest=Draws(labels=(Label.BENIGN,)),
        templates=(few, few + chance.randint(0, 12)) if means is not Means.INJECT else (1, 2),
        rotate_every=round(log_uniform(chance, 1, 600)),
        pins_system=chance.random() < 0.4,
        stored_sessions=round(log_uniform(chance, 20, 5000)),
        growth=grown.growth,
        sampling=sampled.sampling,
        arrival=paced.arrival,
        mimics=chance.choice((0.0, 0.5, 0.8, 1.0)),
        keeps_pace=chance.random() < 0.3,
        size=replace(
            manners[0].size,
            exchanges=num_accounts * num_requests,
            accounts=num_accounts,
            days=chance.uniform(2, 28),
            successors=1,
            spread=0.4,
        ),
    )


def _draw_techniques(chance: Random) -> Draws:
    if chance.random() < 0.3:
        return _ANY
    return replace(_ANY, techniques=tuple(chance.sample(TECHNIQUES, chance.choice((1, 1, 2, 3)))))

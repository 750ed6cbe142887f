"""Worlds: the accounts that a stream model learns from, is calibrated on and is measured on.

A world has a seed of its own, so no account stands in two. Honest accounts to measure come by their personas' weights.
To learn from, operators are drawn at random (`operators.py`), named ones are only ever measured; honest users are drawn
beside the personas, too (`honest.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from random import Random

from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.streams.operators import Operator, load_operators
from stillwatch.data.streams.personas import Persona, choose_personas
from stillwatch.data.streams.pool import Pool
from stillwatch.data.streams.simulator import simulate_accounts, simulate_campaign
from stillwatch.train.streams.corpus import Member
from stillwatch.train.streams.honest import draw_persona
from stillwatch.train.streams.operators import draw_operator

_SIZES = ((0.6, 1, 3), (0.85, 4, 12), (1.0, 13, 60))
"""Sizes of campaigns to learn from: up to which share, least and most accounts."""
_LEAST_REQUESTS = 16
_REQUESTS_OF_A_CAMPAIGN = 4  # times the requests of one account: a large campaign's accounts send less each


def make_honest(
    pool: Pool, personas: Sequence[str], *, num_accounts: int, seed: int, evenly: bool = False
) -> list[Member]:
    """Honest accounts.

    Args:
        pool: their texts.
        personas: by name; one that finds nothing in the pool is left out.
        num_accounts: how many.
        seed: of this world.
        evenly: as many of each persona, instead of by weight: rare personas must be learnt, too.
    """
    chosen = [persona for persona in choose_personas(tuple(personas)) if _finds(pool, persona)]
    if not evenly:
        return list(map(Member, simulate_accounts(pool, num_accounts=num_accounts, seed=seed, personas=chosen)))
    each = -(-num_accounts // len(chosen))
    return [
        Member(stream)
        for place, persona in enumerate(chosen)
        for stream in simulate_accounts(pool, num_accounts=each, seed=seed * 1000 + place, personas=[persona])
    ]


def make_drawn_honest(pool: Pool, *, num_accounts: int, seed: int) -> list[Member]:
    """Honest accounts each of a user of its own, drawn at random; those that find nothing in the pool drawn anew.

    Args:
        pool: their texts.
        num_accounts: how many.
        seed: of this world.
    """
    return [
        Member(simulate_accounts(pool, num_accounts=1, seed=seed * 100_003 + number, personas=[persona])[0])
        for number, persona in enumerate(draw_personas(pool, num_accounts, seed=f"{seed}/honest"))
    ]


def draw_personas(pool: Pool, num: int, *, seed: str) -> list[Persona]:
    """Honest users drawn at random who find something in the pool.

    Raises:
        ConfigError: hardly one does.
    """
    kinds = sorted({group.kind for group in pool.groups if group.kind and group.label is Label.BENIGN})
    drawn = (draw_persona(kinds, seed=f"{seed}/{number}") for number in range(20 * num))
    found = list(islice((persona for persona in drawn if _finds(pool, persona)), num))
    if len(found) < num:
        raise ConfigError("world: hardly an honest user finds what it draws; give more benign families")
    return found


def make_drawn_campaigns(
    pool: Pool,
    personas: Sequence[str],
    *,
    num_campaigns: int,
    most_accounts: int,
    num_requests: int,
    seed: int,
    drawn: Sequence[Persona] = (),
) -> list[Member]:
    """Accounts of operators that are drawn at random; those that find nothing in the pool are drawn anew.

    Args:
        pool: their texts.
        personas: whose manners they may take on.
        num_campaigns: one operator each.
        most_accounts: of a campaign; most have a few, some dozens, so that many senders of one skeleton are no sign of
            honesty.
        num_requests: mean requests of an account, fewer in a large campaign.
        seed: of this world.
        drawn: honest users whose manners every second campaign takes on instead; nobody is honest by being new.
    """
    named = load_operators()
    known = choose_personas(tuple(personas))
    members: list[Member] = []
    number = made = 0
    while made < num_campaigns:
        number += 1
        if number > 20 * num_campaigns:
            raise ConfigError("world: hardly an operator finds what it draws; give more families")
        size = min(_draw_size(Random(f"{seed}/{number}/size")), most_accounts)
        each = max(
            min(num_requests, _LEAST_REQUESTS), min(num_requests, _REQUESTS_OF_A_CAMPAIGN * num_requests // size)
        )
        manners = drawn if drawn and number % 2 else known
        operator = draw_operator(named, seed=f"{seed}/{number}", num_accounts=size, num_requests=each)
        try:
            campaign = simulate_campaign(pool, shape=operator, seed=seed * 100_003 + number, personas=manners)
        except ConfigError:
            continue
        members += [Member(stream, "drawn") for stream in campaign]
        made += 1
    return members


def make_named_campaigns(
    pool: Pool, operator: Operator, personas: Sequence[str], *, num_campaigns: int, accounts_each: int, seed: int
) -> list[Member]:
    """The first accounts of several campaigns of one named operator, each with playbooks of its own."""
    manners = choose_personas(tuple(personas))
    return [
        Member(stream, operator.name)
        for number in range(num_campaigns)
        for stream in simulate_campaign(pool, shape=operator, seed=seed * 100_003 + number, personas=manners)[
            :accounts_each
        ]
    ]


def _draw_size(chance: Random) -> int:
    kind = chance.random()
    return next(chance.randint(least, most) for share, least, most in _SIZES if kind <= share)


def _finds(pool: Pool, persona: Persona) -> bool:
    try:
        pool.select(persona.draws, persona.name)
    except ConfigError:
        return False
    return True

"""A crowd of accounts that send requests at a steady rate: who sends what when.

Texts are requests of our own generator, few beside so many accounts, so that the scorer's cache knows nearly all of
them and what is left is the work of following accounts. It is no model of traffic: who comes again is drawn evenly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from stillwatch.data.generator import generate
from stillwatch.data.records import Request

START_S = 1_767_571_200.0
"""Monday, 5 January 2026, 00:00 UTC: when the first request is sent."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: of which account, when (Unix seconds), and its text by number."""

    account: str
    time_s: float
    text: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many accounts. Each comes once, in order; one request in `1 / again_share` is of an account seen before.

    Attributes:
        num_accounts: distinct accounts.
        num_texts: distinct requests.
        requests_per_s: requests of all accounts in a second of their own clock.
        again_share: share of the requests that come from an account seen before.
        seed: the only source of chance.
        name: how the accounts' names begin.
    """

    num_accounts: int
    num_texts: int
    requests_per_s: float
    again_share: float = 0.2
    seed: int = 7
    name: str = "account"

    def __iter__(self) -> Iterator[Arrival]:
        """The requests in time order, until every account has come."""
        chance = Random(f"{self.seed}/{self.name}")
        num_seen, num_sent = 0, 0
        while num_seen < self.num_accounts:
            if num_seen and chance.random() < self.again_share:
                number = chance.randrange(num_seen)
            else:
                number, num_seen = num_seen, num_seen + 1
            time_s = START_S + num_sent / self.requests_per_s
            yield Arrival(f"{self.name}-{number:07d}", time_s, chance.randrange(self.num_texts))
            num_sent += 1


def generate_texts(num_texts: int, seed: int) -> list[Request]:
    """Requests of the template families that the package ships.

    Raises:
        SourceError: the families have too few wordings for that many.
    """
    return [row.request for row in generate(num_requests=num_texts, seed=seed)]

"""Repeatable chance. Not for secrets."""

from __future__ import annotations

import math
from random import Random


class Chance(Random):
    """A generator of repeatable numbers, seeded by a text, free of any hash seed.

    `Chance("7/wording/3")` gives the same numbers on every machine (Python seeds texts through SHA-512).
    """


def log_uniform(chance: Random, least: float, most: float) -> float:
    """A number between `least` and `most`, both above 0, each of whose orders of magnitude is as likely as another."""
    return math.exp(chance.uniform(math.log(least), math.log(most)))

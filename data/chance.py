"""Repeatable chance. Not for secrets."""

from __future__ import annotations

from random import Random


class Chance(Random):
    """A generator of repeatable numbers, seeded by a text, free of any hash seed.

    `Chance("7/wording/3")` gives the same numbers on every machine (Python seeds texts through SHA-512).
    """

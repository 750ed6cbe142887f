"""Which families and personas a rotation trains on, validates on and tests on: never the same ones twice.

Families are dealt by label, technique and kind of use, so that every side has something for everybody; each family
is tested in one rotation. The few families that only a stream gives away are tested in all and trained on in none.
Personas are dealt in the order of their file. Named operators are nobody's training data:
see `operators.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from stillwatch.data.errors import SplitError
from stillwatch.data.labels import Label, Visibility
from stillwatch.data.streams.personas import Persona
from stillwatch.data.streams.pool import Pool

Side = Literal["train", "validation", "test"]
"""What families are for. Whoever calibrates on its own traffic draws from the tested ones, other accounts."""

_HANDS = 6  # families are dealt into so many: two to test, one to validate, three to train


@dataclass(frozen=True, slots=True)
class Holdout:
    """One rotation.

    Attributes:
        number: of the rotation, from 0.
        families: by side; no family stands on two.
        personas: names by side; those to test are all of them, the ones never trained on among them.
        unseen_personas: those that neither train nor validation hold.
    """

    number: int
    families: dict[Side, frozenset[str]]
    personas: dict[Side, tuple[str, ...]]
    unseen_personas: tuple[str, ...]

    def pools(self, pool: Pool) -> dict[Side, Pool]:
        """The pool of each side."""
        return {side: pool.keep_only(families) for side, families in self.families.items()}


def deal_holdouts(pool: Pool, personas: Sequence[Persona], *, seed: int) -> list[Holdout]:
    """Deal families and personas for three rotations.

    Args:
        pool: all texts.
        personas: honest ones; every third in turn is never trained on.
        seed: of the draw.

    Raises:
        SplitError: fewer than six personas, or a stratum of families too small to be on every side.
    """
    if len(personas) < _HANDS:
        raise SplitError(f"personas: {len(personas)}; give at least {_HANDS} to hold some out in three rotations")
    stream_only = frozenset(group.family for group in pool.groups if group.visibility is Visibility.STREAM)
    hands = _deal_families(pool, seed, stream_only)
    names = [persona.name for persona in personas if persona.label is Label.BENIGN]
    rotations = []
    for number in range(_HANDS // 2):
        test = hands[2 * number] | hands[2 * number + 1] | stream_only
        validation = hands[(2 * number + 2) % _HANDS]
        unseen = tuple(names[number::3])
        known = [name for name in names if name not in unseen]
        checked = tuple(known[:: max(len(known) // 2, 1)][:2])
        rotations.append(
            Holdout(
                number,
                {"train": frozenset().union(*hands) - test - validation, "validation": validation, "test": test},
                {
                    "train": tuple(name for name in known if name not in checked),
                    "validation": checked,
                    "test": tuple(names),
                },
                unseen,
            )
        )
    return rotations


def _deal_families(pool: Pool, seed: int, kept: frozenset[str]) -> list[frozenset[str]]:
    """All families but those kept, in hands, evenly within each stratum."""
    strata: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for group in pool.groups:
        stratum: tuple[object, ...] = (
            group.label,
            group.theme == "injected",
            group.technique,
            group.kind,
            group.lang == "en",
        )
        if group.family not in strata[stratum]:
            strata[stratum].append(group.family)
    hands: list[set[str]] = [set() for _ in range(_HANDS)]
    dealt = set(kept)
    chance = Random(f"{seed}/holdout")
    place = 0
    for key in sorted(strata, key=str):
        families = sorted(set(strata[key]) - dealt)
        chance.shuffle(families)
        for family in families:
            hands[place % _HANDS].add(family)
            place += 1
        dealt |= set(families)
    return [frozenset(hand) for hand in hands]

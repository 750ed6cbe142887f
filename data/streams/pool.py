"""The texts that streams are made of: any labelled requests, in groups that an account can stick to.

A group is what one family wrote in one language and session. Rows of a group are a sequence and may be rendered
when they are read, so a pool of millions of generated requests takes no memory.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import overload

from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest

INJECTED_FAMILIES = Path(__file__).parent / "injected"
"""The folder of the families whose system texts operators inject."""

_ENOUGH_ROWS = 50  # a group of more rows is drawn no more often


@dataclass(frozen=True, slots=True)
class Draws:
    """Which requests somebody draws. Every field that is not empty must match; an empty one lets all pass.

    Attributes:
        labels: labels of the request.
        kinds: kinds of use or personas of the family.
        themes: what stands before the first dot of the family.
        attributes: at least one of them.
        techniques: techniques of extraction.
        visibilities: visibility of extraction.
        also_kinds: kinds that pass whatever the other fields but `labels` say (real rows name no attributes).
    """

    labels: tuple[Label, ...] = ()
    kinds: tuple[str, ...] = ()
    themes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    techniques: tuple[Technique, ...] = ()
    visibilities: tuple[Visibility, ...] = ()
    also_kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The conditions in words."""
        fields = ((name, getattr(self, name)) for name in self.__slots__)
        return "; ".join(f"{name} {', '.join(values)}" for name, values in fields if values) or "any request"


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows of one family, language and session, with what they have in common."""

    family: str
    label: Label
    lang: str
    kind: str | None
    technique: Technique | None
    visibility: Visibility | None
    attributes: frozenset[str]
    session: str | None
    has_system: bool
    rows: Sequence[LabelledRequest]

    @property
    def theme(self) -> str:
        """What stands before the first dot of the family."""
        return self.family.partition(".")[0]

    def matches(self, draws: Draws) -> bool:
        """Whether its rows are what `draws` asks for."""
        pairs = (
            (draws.labels, self.label),
            (draws.kinds, self.kind),
            (draws.themes, self.theme),
            (draws.techniques, self.technique),
            (draws.visibilities, self.visibility),
        )
        if self.kind in draws.also_kinds and (not draws.labels or self.label in draws.labels):
            return True
        met = all(not wanted or value in wanted for wanted, value in pairs)
        return met and (not draws.attributes or not self.attributes.isdisjoint(draws.attributes))


@dataclass(frozen=True, slots=True)
class Shelf:
    """Groups that answer one question, drawn by their rows, at most `_ENOUGH_ROWS` of each counted."""

    groups: tuple[Group, ...]
    weights: tuple[int, ...]

    def draw(self, chance: Random) -> Group:
        """Draw one group."""
        return self.groups[bisect(self.weights, chance.randrange(self.weights[-1]))]

    def draw_some(self, chance: Random, num: int) -> list[Group]:
        """Draw up to `num` different groups: all of them where there are no more."""
        if num >= len(self.groups):
            return list(self.groups)
        chosen: dict[int, Group] = {}
        while len(chosen) < num:
            group = self.draw(chance)
            chosen[id(group)] = group
        return list(chosen.values())


class Pool:
    """Groups of labelled requests, looked up by what an account draws."""

    def __init__(self, groups: Iterable[Group], fingerprint: str) -> None:
        """Keep the groups.

        Args:
            groups: at least one, each with at least one row.
            fingerprint: a digest of the texts, for manifests.

        Raises:
            SourceError: there is none.
        """
        self.groups = tuple(groups)
        self.fingerprint = fingerprint
        self._shelves: dict[tuple[Draws, str | None, bool], Shelf] = {}
        if not self.groups:
            raise SourceError("pool: no requests; give some, or hold out fewer families")

    @classmethod
    def from_records(cls, records: Iterable[LabelledRequest]) -> Pool:
        """A pool of requests in memory: generated, authored or real ones."""
        cells: dict[tuple[object, ...], list[LabelledRequest]] = {}
        digest = hashlib.blake2b(digest_size=16)
        for row in records:
            shared = (row.family, row.label, row.lang, row.kind, row.technique, row.visibility, row.attributes)
            cells.setdefault((*shared, row.session), []).append(row)
            texts = "\x00".join(message.content for message in row.request.messages)
            digest.update(f"{row.id}\x01{shared}\x01{texts}\x02".encode("utf-8", "surrogatepass"))
        return cls(map(_group_rows, cells.values()), f"records/{digest.hexdigest()}")

    @classmethod
    def from_families(cls, folder: Path | None = None, *, seed: int, rows_per_family: int) -> Pool:
        """A pool of requests that the generator renders when they are read.

        Args:
            folder: folder of family files; None means those the package ships and those of `INJECTED_FAMILIES`.
            seed: the generator's seed.
            rows_per_family: how many requests each family offers.

        Raises:
            ConfigError: a family is not usable.
            SourceError: the folder holds no family.
        """
        from stillwatch.data.families import load_families
        from stillwatch.data.generator import GENERATOR_VERSION, render_family

        families = load_families(folder) + (load_families(INJECTED_FAMILIES) if folder is None else ())
        by_name = {family.name: family for family in families}

        @lru_cache(maxsize=8192)
        def render(name: str, index: int) -> LabelledRequest:
            return render_family(by_name[name], index=index, seed=seed)

        groups = [
            Group(
                family.name,
                family.label,
                family.lang,
                family.persona if family.label is Label.BENIGN else None,
                family.technique,
                family.visibility,
                frozenset(family.attributes),
                None,
                any(family.system),
                _Rendered(partial(render, family.name), rows_per_family),
            )
            for family in families
        ]
        words = f"{GENERATOR_VERSION}/{seed}/{rows_per_family}/{families}".encode()
        return cls(groups, f"families/{hashlib.blake2b(words, digest_size=16).hexdigest()}")

    @property
    def families(self) -> frozenset[str]:
        """The families in it."""
        return frozenset(group.family for group in self.groups)

    def join(self, other: Pool) -> Pool:
        """The pool of both; real rows join those of `INJECTED_FAMILIES` to have texts to inject.

        Raises:
            SourceError: they share a family.
        """
        shared = sorted(self.families & other.families)
        if shared:
            raise SourceError(f"pool: both hold family {shared[0]}; rename it, or keep it out of one")
        return Pool(self.groups + other.groups, f"{self.fingerprint}+{other.fingerprint}")

    def keep_only(self, families: Iterable[str]) -> Pool:
        """The pool of these families alone.

        Raises:
            SourceError: one of them is not in the pool, or none is named.
        """
        wanted = frozenset(families)
        unknown = sorted(wanted - self.families)
        if unknown:
            names = ", ".join(unknown[:5])
            raise SourceError(f"pool: no family {names}; name families as `stillwatch data describe` does")
        words = "\x00".join(sorted(wanted)).encode()
        kept = hashlib.blake2b(words, digest_size=8).hexdigest()
        return Pool((group for group in self.groups if group.family in wanted), f"{self.fingerprint}/{kept}")

    def hold_out(self, families: Iterable[str]) -> tuple[Pool, Pool]:
        """Two pools that share no family: all but these, and these.

        Raises:
            SourceError: one of them is not in the pool, or nothing is left on a side.
        """
        held = frozenset(families)
        return self.keep_only(self.families - held), self.keep_only(held)

    def select(self, draws: Draws, who: str, *, lang: str | None = None, with_system: bool = False) -> Shelf:
        """The groups that somebody draws from.

        Args:
            draws: what they draw.
            who: persona or operator, for the message.
            lang: one language, or None for all.
            with_system: only groups whose requests carry a system text.

        Raises:
            ConfigError: there is none.
        """
        key = (draws, lang, with_system)
        if key not in self._shelves:
            found = tuple(
                group
                for group in self.groups
                if group.matches(draws) and lang in (None, group.lang) and (group.has_system or not with_system)
            )
            if not found:
                asked = f"{draws}{' with a system text' if with_system else ''}{f' in {lang}' if lang else ''}"
                raise ConfigError(
                    f"{who}: no request of the pool is what it draws ({asked}); "
                    "add such rows, hold out fewer families, or change `draws`"
                )
            weights = tuple(accumulate(min(len(group.rows), _ENOUGH_ROWS) for group in found))
            self._shelves[key] = Shelf(found, weights)
        return self._shelves[key]


class _Rendered(Sequence[LabelledRequest]):
    """Rows that are rendered when they are read."""

    def __init__(self, render: Callable[[int], LabelledRequest], num_rows: int) -> None:
        self.render, self.num_rows = render, num_rows

    def __len__(self) -> int:
        return self.num_rows

    @overload
    def __getitem__(self, index: int) -> LabelledRequest: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelledRequest]: ...
    def __getitem__(self, index: int | slice) -> LabelledRequest | Sequence[LabelledRequest]:
        if isinstance(index, slice):
            return [self.render(number) for number in range(self.num_rows)[index]]
        return self.render(range(self.num_rows)[index])


def _group_rows(rows: Sequence[LabelledRequest]) -> Group:
    first = rows[0]
    return Group(
        first.family,
        first.label,
        first.lang,
        first.kind,
        first.technique,
        first.visibility,
        frozenset(first.attributes),
        first.session,
        any(message.role is Role.SYSTEM for row in rows for message in row.request.messages),
        rows,
    )

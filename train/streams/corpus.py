"""Simulated streams as request vectors: every request goes through the account states that a gateway keeps.

All accounts of a world are run in time order, so that counts over accounts are those that a gateway would have seen.

One thing is put right on the way. The pool has some hundred families and a world has thousands of accounts, so
honest accounts would share skeletons far more often than people do, and unrelated campaigns too. Fingerprints are
therefore salted: by the campaign for what an operator wrote, by the account for what an honest user wrote, except
in the share of families that stands for public prompts and popular apps. That share is an assumption, and a figure of
the suites: `public_share`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.labels import TECHNIQUES, Label, Visibility
from stillwatch.data.records import LabelledRequest
from stillwatch.data.streams.simulator import merge_streams
from stillwatch.data.streams.stream import Stream
from stillwatch.model.streams.accounts import AccountCounter, count_others
from stillwatch.model.streams.fingerprint import Fingerprints
from stillwatch.model.streams.layout import WIDTH
from stillwatch.model.streams.observation import Projection, observe_request
from stillwatch.model.streams.state import AccountState
from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.contents import Contents

_AT_ONCE = 8192  # requests whose contents are encoded together
_COLUMNS = ("numbers", "contents", "times_s", "others", "families", "techniques", "flags")


@dataclass(frozen=True, slots=True)
class Member:
    """One account of a world: its stream, and the name of its shape where it has one."""

    stream: Stream
    shape: str | None = None

    @property
    def origin(self) -> str:
        """Its persona or operator."""
        return self.stream.persona or self.stream.operator or "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class StreamCorpus:
    """Streams of a world as columns, an account's requests side by side and in time order.

    Attributes:
        members: the accounts.
        bounds: where each account's requests begin; one more entry at the end.
        vectors: as their states keep them, shape (requests, WIDTH), float16.
        contents: row of each request in the encoded contents.
        times_s: Unix time of each request.
        others: highest count of other accounts over its skeletons.
        families: place of each request's family in `family_names`.
        techniques: place in `TECHNIQUES`; -1 for honest requests.
        flags: 1 for extraction, 2 for extraction that one request shows, else 0.
        family_names: names of families.
        logits: extraction logits of the contents.
        embeddings: embeddings of the contents, float16.
    """

    members: tuple[Member, ...]
    bounds: NDArray[np.int64]
    vectors: NDArray[np.float16]
    contents: NDArray[np.int32]
    times_s: NDArray[np.float64]
    others: NDArray[np.float32]
    families: NDArray[np.int32]
    techniques: NDArray[np.int8]
    flags: NDArray[np.int8]
    family_names: tuple[str, ...]
    logits: NDArray[np.float32]
    embeddings: NDArray[np.float16]

    def __len__(self) -> int:
        """How many accounts."""
        return len(self.members)

    def join(self, other: StreamCorpus) -> StreamCorpus:
        """The accounts of both worlds, which were run with the same, growing contents."""
        names = tuple(dict.fromkeys(self.family_names + other.family_names))
        places = np.array([names.index(name) for name in other.family_names], np.int32)
        longer = max(self, other, key=lambda corpus: len(corpus.logits))
        return StreamCorpus(
            members=self.members + other.members,
            bounds=np.concatenate((self.bounds, self.bounds[-1] + other.bounds[1:])),
            families=np.concatenate((self.families, places[other.families])),
            family_names=names,
            logits=longer.logits,
            embeddings=longer.embeddings,
            **{
                name: np.concatenate((getattr(self, name), getattr(other, name)))
                for name in ("vectors", "contents", "times_s", "others", "techniques", "flags")
            },
        )

    def vectors_of(self, number: int) -> NDArray[np.float16]:
        """The vectors of one account, shape (requests, WIDTH)."""
        return self.vectors[self.bounds[number] : self.bounds[number + 1]]

    def arrays(self, number: int) -> StreamArrays:
        """One account as the published detectors read it."""
        rows = slice(self.bounds[number], self.bounds[number + 1])
        member, contents = self.members[number], self.contents[rows]
        return StreamArrays(
            account=member.stream.account,
            label=member.stream.label,
            origin=member.origin,
            campaign=member.stream.campaign,
            shape=member.shape,
            embeddings=self.embeddings[contents].astype(np.float32),
            logits=self.logits[contents].astype(np.float64),
            times_s=self.times_s[rows],
            features=self.vectors[rows].astype(np.float32),
            is_extraction=self.flags[rows] > 0,
            visible=self.flags[rows] > 1,
            families=tuple(self.family_names[place] for place in self.families[rows]),
            techniques=tuple(TECHNIQUES[place] if place >= 0 else None for place in self.techniques[rows]),
            others=self.others[rows],
        )

    def is_operator(self) -> NDArray[np.bool_]:
        """Whether each account is an operator's, shape (accounts,)."""
        return np.array([member.stream.label is Label.EXTRACTION for member in self.members], bool)


def build_corpus(
    members: Sequence[Member],
    contents: Contents,
    projection: Projection,
    counter: AccountCounter,
    *,
    first: int,
    public_share: float,
    paraphrased: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> StreamCorpus:
    """Run a world of accounts.

    Args:
        members: its accounts, all names different.
        contents: the encoded contents; grows.
        projection: of the stream model that will read the vectors.
        counter: counts accounts; give each world a new one.
        first: how many requests of each account.
        public_share: share of families whose skeletons honest accounts have in common.
        paraphrased: whether no two requests of an operator share a skeleton, which is the worst that putting each in
            other words could do; the request model's outputs stay as they are.
        on_progress: called with the number of requests done since the last call.
    """
    places = {member.stream.account: place for place, member in enumerate(members)}
    salts = _Salts([member.stream.campaign for member in members], public_share, paraphrased)
    states: dict[int, AccountState] = {}
    families: dict[str, int] = {}
    vectors: list[NDArray[np.float16]] = []
    columns: list[NDArray[np.float64]] = []
    merged = merge_streams((member.stream for member in members), first)
    while batch := list(islice(merged, _AT_ONCE)):
        rows = [contents.place(record) for record in batch]
        contents.encode()
        part = np.empty((len(batch), WIDTH), np.float16)
        column = np.empty((len(batch), len(_COLUMNS)))
        for at, (record, row) in enumerate(zip(batch, rows, strict=True)):
            request = record.request
            number, time_s = places[str(request.account)], request.time_s or 0.0
            seen = observe_request(request, contents.get(row), projection)
            seen = replace(seen, fingerprints=salts.apply(seen.fingerprints, number, record))
            others = count_others(counter, seen.fingerprints, str(request.account), time_s)
            state = states.get(number) or states.setdefault(number, AccountState())
            part[at] = state.update(seen, time_s, others)
            most = max(others.system, others.instruction, others.form, others.opening)
            technique = TECHNIQUES.index(record.technique) if record.is_extraction and record.technique else -1
            flag = record.is_extraction + (record.is_extraction and record.visibility is Visibility.REQUEST)
            column[at] = number, row, time_s, most, families.setdefault(record.family, len(families)), technique, flag
        vectors.append(part)
        columns.append(column)
        if on_progress is not None:
            on_progress(len(batch))
    return _sort_accounts(members, contents, tuple(families), np.concatenate(vectors), np.concatenate(columns))


def iter_records(members: Iterable[Member], first: int) -> Iterator[LabelledRequest]:
    """The first requests of each account, account by account."""
    for member in members:
        yield from islice(member.stream, first)


def _sort_accounts(
    members: Sequence[Member],
    contents: Contents,
    families: tuple[str, ...],
    vectors: NDArray[np.float16],
    columns: NDArray[np.float64],
) -> StreamCorpus:
    by_name = dict(zip(_COLUMNS, columns.T, strict=True))
    order = np.argsort(by_name["numbers"], kind="stable")
    counts = np.bincount(by_name["numbers"].astype(np.int64), minlength=len(members))
    rows = by_name["contents"][order].astype(np.int32)
    outputs = [contents.get(row) for row in range(contents.count().num_contents)]
    return StreamCorpus(
        members=tuple(members),
        bounds=np.concatenate(([0], np.cumsum(counts))),
        vectors=vectors[order],
        contents=rows,
        times_s=by_name["times_s"][order],
        others=by_name["others"][order].astype(np.float32),
        families=by_name["families"][order].astype(np.int32),
        techniques=by_name["techniques"][order].astype(np.int8),
        flags=by_name["flags"][order].astype(np.int8),
        family_names=families,
        logits=np.array([each.extraction for each in outputs], np.float32),
        embeddings=np.stack([each.embedding for each in outputs]).astype(np.float16),
    )


class _Salts:
    """Keeps apart the skeletons of authors who never met; see the module's text."""

    def __init__(self, campaigns: Sequence[str | None], public_share: float, paraphrased: bool) -> None:
        self._campaigns, self._public, self._paraphrased = campaigns, int(public_share * 2**32), paraphrased

    def apply(self, prints: Fingerprints, number: int, record: LabelledRequest) -> Fingerprints:
        """The fingerprints as those of one author."""
        campaign = self._campaigns[number]
        reader = _hash(f"account/{number}") if _hash(f"public/{record.family}") >> 32 >= self._public else 0
        author = reader
        if record.is_extraction and campaign:
            author = _hash(f"request/{record.id}" if self._paraphrased else f"campaign/{campaign}")
        # An injected system text is the campaign's; the words under it are somebody else's.
        words = _hash(f"account/{number}") if record.family.startswith("injected.") else author
        return replace(
            prints,
            system=_salt(prints.system, author),
            instruction=_salt(prints.instruction, words),
            form=_salt(prints.form, author),
            opening=_salt(prints.opening, author),
        )


def _salt(prints: tuple[int, ...], salt: int) -> tuple[int, ...]:
    return tuple(each ^ salt for each in prints)


@lru_cache(maxsize=65_536)
def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")

"""Groups accounts into campaigns by the skeletons that they share, from a log of scored requests.

Two accounts belong together when they sent a skeleton that few others than suspicious accounts send: a public prompt
or a popular app links nobody, because most of its senders are honest. Campaigns are the connected components of the
graph of accounts and such skeletons. It proves nothing about who runs the accounts; it says what to look at together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stillwatch.data.errors import InputError
from stillwatch.model.calibration import Action
from stillwatch.train.streams.scored_log import ScoredRequest

ENOUGH = 3
"""Flagged accounts at which a campaign counts as flagged (all of them where it has fewer)."""


@dataclass(frozen=True, slots=True)
class AccountTrace:
    """One account of a log.

    Attributes:
        account: its identifier, as in the log.
        times_s: of its requests.
        logits: its stream logit after each.
        flag_s: when it was first flagged, or None.
        is_suspicious: whether it was ever more than allowed.
        techniques: requests by technique, where they alone looked like extraction.
        fingerprints: skeletons that it sent.
    """

    account: str
    times_s: tuple[float, ...]
    logits: tuple[float, ...]
    flag_s: float | None
    is_suspicious: bool
    techniques: Counter[str]
    fingerprints: frozenset[int]


@dataclass(frozen=True, slots=True)
class FoundCampaign:
    """Accounts that belong together.

    Attributes:
        name: stable while its oldest shared skeleton is.
        members: its accounts, in the order in which they began.
        shared: skeletons that link them, most senders first.
        flag_s: when the campaign was flagged (`ENOUGH`), or None.
    """

    name: str
    members: tuple[AccountTrace, ...]
    shared: tuple[int, ...]
    flag_s: float | None

    @property
    def first_s(self) -> float:
        """When it was first seen."""
        return min(member.times_s[0] for member in self.members)

    @property
    def last_s(self) -> float:
        """When it was last seen."""
        return max(member.times_s[-1] for member in self.members)

    @property
    def num_exchanges(self) -> int:
        """Requests of all members."""
        return sum(len(member.times_s) for member in self.members)

    @property
    def num_leaked(self) -> int:
        """Requests that any member sent before the campaign was flagged: all of them where it never was."""
        end_s = np.inf if self.flag_s is None else self.flag_s
        return sum(sum(time_s < end_s for time_s in member.times_s) for member in self.members)

    def to_json(self) -> dict[str, object]:
        """Plain JSON types; fingerprints as hexadecimal texts."""
        techniques = sum((member.techniques for member in self.members), Counter[str]())
        return {
            "name": self.name,
            "members": [member.account for member in self.members],
            "flagged_members": sum(member.flag_s is not None for member in self.members),
            "first_s": self.first_s,
            "last_s": self.last_s,
            "flag_s": self.flag_s,
            "num_exchanges": self.num_exchanges,
            "num_leaked": self.num_leaked,
            "techniques": dict(techniques.most_common()),
            "shared_fingerprints": [f"{each:016x}" for each in self.shared],
        }


def gather_traces(scored: Iterable[ScoredRequest]) -> list[AccountTrace]:
    """The accounts of a log, in the order in which they began.

    Raises:
        InputError: the log holds no request.
    """
    rows: dict[str, list[ScoredRequest]] = defaultdict(list)
    for one in scored:
        rows[one.account].append(one)
    if not rows:
        raise InputError("log", "no scored request", "give a log of scored requests, one a line")
    traces = []
    for account, requests in rows.items():
        requests.sort(key=lambda one: one.time_s)
        traces.append(
            AccountTrace(
                account=account,
                times_s=tuple(one.time_s for one in requests),
                logits=tuple(one.logit for one in requests),
                flag_s=next((one.time_s for one in requests if one.action is Action.FLAG), None),
                is_suspicious=any(one.action is not Action.ALLOW for one in requests),
                techniques=Counter(one.technique for one in requests if one.technique),
                fingerprints=frozenset(each for one in requests for each in one.fingerprints),
            )
        )
    return sorted(traces, key=lambda trace: trace.times_s[0])


def find_campaigns(traces: list[AccountTrace], *, min_suspicious_share: float = 0.5) -> list[FoundCampaign]:
    """Campaigns of two accounts or more, at least one of them flagged; the one with most exchanges first.

    Args:
        traces: accounts of a log.
        min_suspicious_share: a skeleton links its senders when at least this share of them is suspicious.
    """
    senders: dict[int, list[int]] = defaultdict(list)
    for number, trace in enumerate(traces):
        for fingerprint in trace.fingerprints:
            senders[fingerprint].append(number)
    links = {
        fingerprint: numbers
        for fingerprint, numbers in senders.items()
        if len(numbers) > 1
        and sum(traces[number].is_suspicious for number in numbers) >= min_suspicious_share * len(numbers)
    }
    pairs = [(numbers[0], other) for numbers in links.values() for other in numbers[1:]]
    if not pairs:
        return []
    ends = np.array(pairs)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(traces), len(traces)))
    _, labels = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for number in sorted(set(ends.ravel().tolist())):
        groups[int(labels[number])].append(number)
    found = []
    for numbers in groups.values():
        members = tuple(traces[number] for number in numbers)
        if not any(member.flag_s is not None for member in members):
            continue
        shared = sorted(
            (each for each, linked in links.items() if labels[linked[0]] == labels[numbers[0]]),
            key=lambda each: (-len(links[each]), each),
        )
        found.append(FoundCampaign(f"campaign-{min(shared):016x}", members, tuple(shared), _flag_time(members)))
    return sorted(found, key=lambda campaign: -campaign.num_exchanges)


def _flag_time(members: tuple[AccountTrace, ...]) -> float | None:
    moments = sorted(member.flag_s for member in members if member.flag_s is not None)
    enough = min(ENOUGH, len(members))
    return moments[enough - 1] if len(moments) >= enough else None

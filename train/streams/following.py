"""A log of requests through a bundle's scorer, account by account, as a gateway would have seen it.

Gives what a scored log may hold: numbers and fingerprints, never text. The log should be in the order of time; an
account's requests may come out of order by an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from stillwatch.data.dialects import parse_request
from stillwatch.data.errors import BundleError, InputError
from stillwatch.data.reading import iter_rows
from stillwatch.data.records import Request
from stillwatch.model.calibration import Action
from stillwatch.model.reference import TrafficTally
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.fingerprint import fingerprint_request
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.train.streams.scored_log import ScoredRequest


def iter_requests(path: Path | None) -> Iterator[Request]:
    """The requests of a log.

    Args:
        path: JSONL, gzip or Parquet of requests with `account` and `time_s`; None reads standard input.

    Raises:
        InputError: a row that is no request, or names no account or time.
    """
    for row in iter_rows(path):
        if isinstance(row.value, InputError):
            raise row.value
        try:
            request = parse_request(row.value)
        except InputError as error:
            raise error.at(row.where) from error
        for field in ("account", "time_s"):
            if getattr(request, field) is None:
                raise InputError(field, "missing", "give each request its account and Unix time", row.where)
        yield request


def follow_requests(
    requests: Iterable[Request], scorer: Scorer, tally: TrafficTally | None = None
) -> Iterator[ScoredRequest]:
    """Score requests and their accounts' streams, in the order of the log.

    Args:
        requests: from `iter_requests`.
        scorer: of a bundle that carries a stream model.
        tally: takes in what each request alone shows.

    Raises:
        BundleError: it carries none.
    """
    states = MemoryStateStore(max_accounts=10_000_000, expire_after_s=sys.float_info.max)
    counter = MemoryAccountCounter()
    for request in requests:
        verdict = scorer.score(request, states=states, counter=counter)
        if verdict.stream is None:
            raise BundleError("stream.json: not in this bundle; give a bundle of `stillwatch train-streams`")
        names = verdict.techniques
        if tally is not None:
            tally.add(verdict.probability, list(names.values()))
        yield ScoredRequest(
            account=str(request.account),
            time_s=request.time_s or 0.0,
            logit=verdict.stream.logit,
            action=verdict.stream.action,
            technique=max(names, key=names.__getitem__) if verdict.action is not Action.ALLOW else None,
            fingerprints=fingerprint_request(request).shared,
        )

"""Counts what a list of labelled requests holds. Tells numbers only, never a word of a request."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from stillwatch.data.errors import SourceError
from stillwatch.data.records import LabelledRequest


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in characters: the median, the 90th percentile and the longest."""

    median: float
    p90: float
    longest: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dataset holds.

    Attributes:
        rows: number of requests.
        families: number of template families.
        counts: requests by value, most first, for label, technique, lang and source.
        characters: lengths of the requests.
        with_system: share of requests with a system prompt.
        with_tools: share of requests that offer tools.
        multi_turn: share of requests with more than one user turn.
    """

    rows: int
    families: int
    counts: Mapping[str, Mapping[str, int]]
    characters: Lengths
    with_system: float
    with_tools: float
    multi_turn: float

    def as_json(self) -> dict[str, object]:
        """The same as plain JSON types."""
        return asdict(self)


def count_contents(records: Sequence[LabelledRequest]) -> Contents:
    """Count labelled requests.

    Raises:
        SourceError: there are none.
    """
    if not records:
        raise SourceError("records: none found; give a file or folder with labelled requests")
    lengths = sorted(record.request.num_characters for record in records)
    roles = [[message.role.value for message in record.request.messages] for record in records]
    columns = {
        "label": Counter(record.label.value for record in records),
        "technique": Counter(record.technique.value if record.technique else "-" for record in records),
        "lang": Counter(record.lang for record in records),
        "source": Counter(record.source for record in records),
    }
    return Contents(
        rows=len(records),
        families=len({record.family for record in records}),
        counts={column: dict(counter.most_common()) for column, counter in columns.items()},
        characters=Lengths(statistics.median(lengths), lengths[int(0.9 * (len(lengths) - 1))], lengths[-1]),
        with_system=sum("system" in turns for turns in roles) / len(records),
        with_tools=sum(bool(record.request.tools) for record in records) / len(records),
        multi_turn=sum(turns.count("user") > 1 for turns in roles) / len(records),
    )

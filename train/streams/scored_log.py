"""A log of scored requests: what a gateway keeps of each, one JSON object a line. Numbers and hashes, never text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.reading import iter_rows
from stillwatch.model.calibration import Action


class ScoredRequest(BaseModel):
    """One scored request; other fields of a log are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    account: str = Field(min_length=1)
    """A hash or any other opaque identifier."""
    time_s: float
    """Unix time in seconds."""
    logit: float
    """The account's stream logit after this request."""
    action: Action = Action.ALLOW
    """The verdict on the account after this request."""
    technique: str | None = None
    """The most probable technique, where the request alone looked like extraction."""
    fingerprints: tuple[int, ...] = ()
    """Skeletons that are counted over accounts."""


def iter_scored(path: Path | None) -> Iterator[ScoredRequest]:
    """The rows of a scored log.

    Args:
        path: JSONL, gzip or Parquet; None reads standard input.

    Raises:
        InputError: a row that is no scored request, with its place and field.
    """
    for row in iter_rows(path):
        if isinstance(row.value, InputError):
            raise row.value
        try:
            yield ScoredRequest.model_validate(row.value)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "row"
            value = row.value.get(field) if isinstance(row.value, dict) else row.value
            raise InputError(
                field, kind_of(value), "give account, time_s, logit and fingerprints of each request", row.where
            ) from error


def write_scored(path: Path, scored: Iterable[ScoredRequest]) -> int:
    """Write a log and tell how many rows it has."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for one in scored:
            file.write(json.dumps(one.model_dump(mode="json")) + "\n")
            count += 1
    return count

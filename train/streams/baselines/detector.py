"""What every detector of streams answers to, so that ours and the published ones are measured by the same code.

A detector gives a statistic after each request, higher for extraction, on a scale of its own; what is too high is
decided elsewhere (`conformal.py`), alike for all of them. It reads embeddings, logits, features and times; the truth
in a stream is for `fit` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from stillwatch.data.errors import InputError
from stillwatch.train.streams.arrays import Floats, StreamArrays

NOT_YET = -np.inf
"""The statistic before a detector has seen enough: below every threshold."""

T = TypeVar("T")


class StreamDetector(Protocol):
    """Fits on whole accounts, then follows one account at a time."""

    @property
    def name(self) -> str:
        """Its name in tables, with what tells two settings of it apart."""

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Learn from accounts that are neither calibrated on nor measured.

        Args:
            benign_streams: honest accounts.
            extraction_streams: accounts of operators, for detectors that learn from both; others leave them unread.

        Raises:
            InputError: when there are too few requests to fit on.
        """

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The statistic after each request from the requests up to it alone, shape `(requests,)`.

        `-inf` before enough is seen; never nan.

        Raises:
            InputError: when the detector was not fitted.
        """


def require_fitted(fitted: T | None, name: str) -> T:
    """What `fit` left behind.

    Args:
        fitted: the detector's learnt state, None before `fit`.
        name: the detector's name.

    Raises:
        InputError: when it is None.
    """
    if fitted is None:
        raise InputError(name, "a detector that was not fitted", "call fit with honest accounts first")
    return fitted


def require_requests(streams: Sequence[StreamArrays], num_wanted: int, what: str) -> None:
    """Refuse to fit on too little.

    Args:
        streams: the accounts to fit on.
        num_wanted: the fewest requests that will do.
        what: what they are for, named in the error.

    Raises:
        InputError: when they hold fewer requests between them.
    """
    num_found = sum(len(stream) for stream in streams)
    if num_found < num_wanted:
        raise InputError(what, f"{num_found} requests of {len(streams)} accounts", f"give at least {num_wanted}")

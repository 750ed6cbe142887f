"""What every detector of streams answers to, so that ours and the published ones are measured by the same code.

A detector gives a statistic after each request, higher for extraction, on a scale of its own; what is too high is
decided elsewhere (`conformal.py`) for all of them alike. It reads embeddings, logits, features and times; the truth
in a stream is for `fit` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stillwatch.train.streams.arrays import Floats, StreamArrays

NOT_YET = -np.inf
"""The statistic before a detector has seen enough: below every threshold."""


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
        """

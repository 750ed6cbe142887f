"""Streams made of numbers alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike

from stillwatch.data.labels import Label, Technique
from stillwatch.train.streams.arrays import StreamArrays


@pytest.fixture(scope="session")
def make_stream() -> Callable[..., StreamArrays]:
    """Embeddings of one column, logits of 0, a request a minute, unless something else is given."""

    def make(
        *,
        embeddings: ArrayLike | None = None,
        logits: ArrayLike | None = None,
        times_s: ArrayLike | None = None,
        is_extraction: bool = False,
    ) -> StreamArrays:
        given = [np.asarray(one) for one in (embeddings, logits, times_s) if one is not None]
        num = len(given[0])
        return StreamArrays(
            account="account-1",
            label=Label.EXTRACTION if is_extraction else Label.BENIGN,
            origin="grader",
            campaign=None,
            shape=None,
            embeddings=np.ones((num, 1), np.float32) if embeddings is None else np.asarray(embeddings, np.float32),
            logits=np.zeros(num) if logits is None else np.asarray(logits, np.float64),
            times_s=np.arange(num) * np.float64(60) if times_s is None else np.asarray(times_s, np.float64),
            features=np.zeros((num, 2), np.float32),
            is_extraction=np.full(num, is_extraction),
            visible=np.full(num, is_extraction),
            families=("family",) * num,
            techniques=(Technique.PREFERENCE_GRADING if is_extraction else None,) * num,
        )

    return make

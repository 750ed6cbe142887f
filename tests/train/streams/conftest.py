"""Streams made of numbers alone, and a pool of small texts that simulated accounts draw from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike

from stillwatch.data.labels import TECHNIQUES, Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.streams.pool import Pool
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


KINDS = ("pupil", "app", "developer", "teacher", "shopper", "analyst", "writer", "agent", "security", "chat")


@pytest.fixture(scope="session")
def small_pool() -> Pool:
    """Twelve families of three rows for each kind of use and technique, six injected ones; words of `tiny_bundle`."""
    attributes = {"writer": ("asks_rewriting",), "app": ("batch",)}
    rows = [
        _write_row(f"honest.{kind}-{n}", row, f"hello {kind}", kind=kind, attributes=attributes.get(kind, ()))
        for kind in KINDS
        for n in range(12)
        for row in range(3)
    ]
    rows += [
        _write_row(f"taken.{technique}-{n}", row, "reasoning reasoning reasoning", technique=technique)
        for technique in TECHNIQUES
        for n in range(12)
        for row in range(3)
    ]
    injected = Technique.REASONING_ELICITATION
    rows += [
        _write_row(f"injected.{n}", row, "hello", technique=injected, system="reasoning reasoning reasoning reasoning")
        for n in range(6)
        for row in range(3)
    ]
    return Pool.from_records(rows)


def _write_row(
    family: str,
    row: int,
    words: str,
    *,
    kind: str | None = None,
    technique: Technique | None = None,
    system: str = "",
    attributes: tuple[str, ...] = (),
) -> LabelledRequest:
    user = Message(Role.USER, f"{words} {family} {row}")
    return LabelledRequest(
        Request(((Message(Role.SYSTEM, system), user) if system else (user,)), id=f"{family}/{row}"),
        label=Label.BENIGN if technique is None else Label.EXTRACTION,
        family=family,
        source="tests",
        technique=technique,
        visibility=None if technique is None else Visibility.REQUEST,
        kind=kind,
        attributes=attributes,
    )

"""The detectors that ours is measured beside, with the settings of their papers and, where those are silent within
an account's first hundred requests, a shorter setting that is not published.
"""

from __future__ import annotations

from stillwatch.train.streams.baselines.detector import StreamDetector
from stillwatch.train.streams.baselines.mahalanobis import MahalanobisDetector
from stillwatch.train.streams.baselines.mmd import PUBLISHED_WINDOW, MmdDetector
from stillwatch.train.streams.baselines.prada import PradaDetector
from stillwatch.train.streams.baselines.rate import RateDetector
from stillwatch.train.streams.baselines.scores import MaxScoreDetector, MeanScoreDetector
from stillwatch.train.streams.baselines.seat import SeatDetector
from stillwatch.train.streams.sequential import CusumDetector, EProcessDetector

_SHORT = 25
"""Requests of the windows that are not published."""


def build_baselines(seed: int = 0) -> tuple[StreamDetector, ...]:
    """New detectors, none of them fitted.

    Args:
        seed: of every draw that they make.
    """
    return (
        MmdDetector(_SHORT, seed=seed),
        MmdDetector(100, seed=seed),
        MmdDetector(PUBLISHED_WINDOW, seed=seed),
        MahalanobisDetector(_SHORT, seed=seed),
        MahalanobisDetector(100, seed=seed),
        PradaDetector(_SHORT, seed=seed),
        PradaDetector(100, seed=seed),
        SeatDetector(seed=seed),
        SeatDetector(100, seed=seed),
        MeanScoreDetector(),
        MaxScoreDetector(),
        RateDetector(),
        RateDetector(against_own_past=True),
        CusumDetector(),
        EProcessDetector(seed=seed),
        EProcessDetector(learns_ratio=True, seed=seed),
    )

"""What is measured of one system on all rows of an evaluation: figures, slices, curves, cost.

Figures and scores alone, never text of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stillwatch.train.intervals import Interval
from stillwatch.train.summary import FPRS, MetricSet, SliceRate

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of scoring, measured in this run one request at a time: a figure of this machine at this hour.

    Attributes:
        median_ms: milliseconds a request at the median.
        median_ms_per_1000_characters: milliseconds for 1,000 characters at the median.
        num_requests: requests that were timed, drawn evenly over the records.
        num_threads: threads that the system was given.
    """

    median_ms: float
    median_ms_per_1000_characters: float
    num_requests: int
    num_threads: int


@dataclass(frozen=True, slots=True)
class CarriedThreshold:
    """A threshold that a system brings along, such as a bundle's `review` and `flag`, tried on these rows.

    Attributes:
        name: what the system calls it.
        threshold: on the scale of the scores.
        promised_fpr: the share of benign requests that it was chosen for.
        rates: share at or above it, by kind of record.
        by_source: the same by source, benign and extraction apart.
    """

    name: str
    threshold: float
    promised_fpr: float
    rates: tuple[SliceRate, ...]
    by_source: tuple[SliceRate, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Which technique was named for which: extraction records that one request shows.

    Attributes:
        techniques: names of rows and columns.
        counts: records, a row for each true technique, a column for each named one.
    """

    techniques: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Records of about the same probability: their mean probability, and the share that is extraction."""

    probability: float
    share: float
    num_records: int


@dataclass(frozen=True, slots=True)
class Curves:
    """Points to draw.

    Attributes:
        roc: false-positive rate and true-positive rate, on a logarithmic grid of the former.
        precision_recall: recall and precision, by rising recall.
        reliability: bins of equal mass, lowest first; empty when the scores are no probabilities.
    """

    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system and everything measured of it on all rows.

    Attributes:
        name: unlike any other system's.
        kind: `bundle`, `registry`, `sklearn`, `transformers`, `scores`, or `trained` for one fitted in this run.
        version: the bundle's version or a digest of the files.
        has_probabilities: whether the scores are probabilities.
        notes: what a reader must know, such as how long texts are read.
        metrics: figures and thresholds over the decided records.
        fold_tprs: TPR at each of `summary.FPRS`, one entry a fold, each with its fold's own threshold.
        slices: rates at the thresholds of `metrics`, by dimension of `results.DIMENSIONS`.
        aside: the same rates for records that one request does not decide, by kind.
        carried: thresholds that the system brings along.
        confusion: None when the system names no technique.
        technique_recall: share of each technique's records that were named rightly; empty without `confusion`.
        curves: points to draw.
        cost: None when nothing was timed.
    """

    name: str
    kind: str
    version: str
    has_probabilities: bool
    notes: tuple[str, ...]
    metrics: MetricSet
    fold_tprs: tuple[tuple[float, ...], ...]
    slices: Mapping[str, tuple[SliceRate, ...]]
    aside: tuple[SliceRate, ...]
    carried: tuple[CarriedThreshold, ...]
    confusion: Confusion | None
    technique_recall: Mapping[str, Interval]
    curves: Curves
    cost: Cost | None

    def mean_over_folds(self, fpr: float) -> float:
        """Mean over folds of the TPR, each fold at its own threshold; `fpr` is one of `summary.FPRS`."""
        return float(np.mean([fold[FPRS.index(fpr)] for fold in self.fold_tprs]))

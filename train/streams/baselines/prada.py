"""PRADA: are the distances between an account's requests distributed as honest ones are, that is normally?

Juuti et al. (EuroS&P 2019), their detection algorithm: for each predicted class c a growing set G_c; a query's distance
d is its least distance to G_c, kept in D; it joins G_c when d > T_c, and T_c becomes the larger of T_c and
mean(D_Gc) - std(D_Gc), D_Gc being the distances at which queries joined. Once D holds more than 100, values beyond
three standard deviations are dropped and the Shapiro-Wilk statistic W of the rest is compared with delta. The
statistic here is 1 - W. As in the authors' code, W is taken at every tenth query and kept between.
Adapted from images: the distance is between sentence embeddings of length 1 instead of pixels; a language model
predicts no class, so the class is the nearest of a few clusters (k-means) of honest requests. At most the last 5,000
distances are tested (as arXiv 2606.05725 does). Identical distances have no shape: the statistic is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import shapiro
from sklearn.cluster import KMeans

from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import NOT_YET, require_fitted, require_requests
from stillwatch.train.streams.baselines.distances import Rows, iter_blocks, scale_rows
from stillwatch.train.streams.baselines.drawing import draw_embeddings

_TEST_EVERY = 10
_MOST_TESTED = 5_000
_FEWEST_SHAPIRO = 3
_FEWEST_A_CLASS = 10


@dataclass(slots=True, eq=False)
class PradaDetector:
    """1 - W of the least distances within the account.

    Attributes:
        min_distances: distances that must be exceeded before a test; 100 in the paper.
        num_classes: clusters that stand for predicted classes; 1 tells none apart.
        num_reference: honest requests behind the clusters.
        seed: of their draw and of k-means.
    """

    min_distances: int = 100
    num_classes: int = 10
    num_reference: int = 5_000
    seed: int = 0
    _centres: Rows | None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """`prada-100` when it tests from 100 distances on."""
        return f"prada-{self.min_distances}"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Find the clusters of honest requests; extraction is not read."""
        require_requests(benign_streams, _FEWEST_A_CLASS * self.num_classes, "the classes of PRADA")
        rows = draw_embeddings(benign_streams, self.num_reference, self.seed)
        clusters = KMeans(self.num_classes, n_init=1, random_state=self.seed).fit(rows)
        self._centres = clusters.cluster_centers_.astype(np.float32)

    def score_stream(self, stream: StreamArrays) -> Floats:
        """1 - W after each request, from 0 (normal) to 1."""
        centres = require_fitted(self._centres, self.name)
        statistic = np.full(len(stream), NOT_YET)
        rows = scale_rows(stream.embeddings)
        if len(rows) == 0:
            return statistic
        classes = (rows @ centres.T - np.square(centres).sum(axis=1) / 2).argmax(axis=1)
        sets = [GrowingSet(len(rows)) for _ in centres]
        least, num_least, now = np.empty(len(rows)), 0, NOT_YET
        for block in iter_blocks(rows):
            distances = np.sqrt(block.squares)
            for number in range(block.start, block.stop):
                distance = sets[classes[number]].add(number, distances[number - block.start])
                if distance is not None:
                    least[num_least] = distance
                    num_least += 1
                if num_least > self.min_distances and number % _TEST_EVERY == 0:
                    now = 1 - measure_normality(least[max(0, num_least - _MOST_TESTED) : num_least])
                statistic[number] = now
        return statistic


class GrowingSet:
    """The queries of one class that are far enough from each other (`G_c` of the paper).

    Args:
        most: the most queries that it may hold.
    """

    def __init__(self, most: int) -> None:
        """Empty, its threshold at 0."""
        self.numbers = np.empty(most, dtype=np.int64)
        self.size, self.threshold = 0, 0.0
        self._sum = self._sum_of_squares = 0.0

    def add(self, number: int, distances: NDArray[np.float32]) -> float | None:
        """The least distance of a query to the set, None when it is the first; it joins when that is large.

        Args:
            number: the query.
            distances: its distances to all queries by their number.
        """
        least = float(distances[self.numbers[: self.size]].min()) if self.size else None
        if least is None or least > self.threshold:
            self.numbers[self.size] = number
            self.size += 1
            self._sum += least or 0.0
            self._sum_of_squares += (least or 0.0) ** 2
            mean = self._sum / self.size
            deviation = max(0.0, self._sum_of_squares / self.size - mean**2) ** 0.5
            self.threshold = max(self.threshold, mean - deviation)
        return least


def measure_normality(distances: Floats) -> float:
    """Shapiro-Wilk W of the distances within three standard deviations, 1 for a normal sample (or a constant one).

    Args:
        distances: shape `(num_distances,)`.
    """
    near = distances[np.abs(distances - distances.mean()) < 3 * distances.std()]
    if near.size < _FEWEST_SHAPIRO or np.ptp(near) < 1e-6:
        return 1.0
    return float(shapiro(near).statistic)

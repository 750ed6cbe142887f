"""The protocol of arXiv 2606.05725, for figures beside those it publishes: windows of pooled traffic, not accounts.

Honest requests are pooled and split in two. A detector fits on one half, and the threshold is the 95th percentile of
its statistic on windows drawn from that half. Windows drawn from the other half are honest; in a window with an
attacker share, so many requests are extraction's. Drawing, not time, makes a window, as there: it is what a gateway's
whole traffic looks like at best, and it says nothing of accounts nor of how soon one is caught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.errors import InputError
from stillwatch.data.labels import Label
from stillwatch.train.intervals import Interval, wilson
from stillwatch.train.streams.arrays import StreamArrays
from stillwatch.train.streams.baselines.detector import StreamDetector

SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
PERCENTILE = 95.0


@dataclass(frozen=True, slots=True)
class WindowRates:
    """What a detector does on drawn windows.

    Attributes:
        detector: its name.
        window: requests of a window.
        threshold: the percentile of the null.
        fpr: share of honest windows above it.
        tpr: share of windows above it, by attacker share.
    """

    detector: str
    window: int
    threshold: float
    fpr: Interval
    tpr: Mapping[float, Interval]

    def to_json(self) -> dict[str, object]:
        """Plain JSON types; keys of `tpr` are percent."""
        return {
            "detector": self.detector,
            "window": self.window,
            "fpr": self.fpr.to_json(),
            "tpr": {f"{100 * share:g}": each.to_json() for share, each in self.tpr.items()},
        }


def measure_windows(
    detector: StreamDetector,
    benign_streams: Sequence[StreamArrays],
    extraction_streams: Sequence[StreamArrays],
    *,
    window: int,
    num_null: int = 200,
    num_windows: int = 50,
    seed: int = 0,
) -> WindowRates:
    """Fit, calibrate and measure a detector on windows of pooled traffic; intervals are Wilson's over windows.

    Args:
        detector: one whose statistic after a window's last request is the window's.
        benign_streams: honest accounts.
        extraction_streams: accounts of operators; only their extraction requests are read.
        window: requests of a window.
        num_null: windows behind the threshold (1,000 in the paper).
        num_windows: windows measured for each attacker share, and honest ones.
        seed: of the split and all draws.

    Raises:
        InputError: when half of the honest requests, or the extraction requests, do not fill a window.
    """
    rng = np.random.default_rng(seed)
    pool = merge_streams(benign_streams)
    harvest = merge_streams(extraction_streams)
    harvest = take_requests(harvest, np.flatnonzero(harvest.is_extraction))
    order = rng.permutation(len(pool))
    known, fresh = (take_requests(pool, np.sort(half)) for half in np.array_split(order, 2))
    for name, found in (("benign_streams", len(fresh)), ("extraction_streams", len(harvest))):
        if found < window:
            raise InputError(name, f"{found} requests to draw a window from", f"give at least {window}")
    detector.fit([known], None)

    def measure(honest: StreamArrays, share: float) -> float:
        num_harvested = round(share * window)
        drawn = [
            take_requests(honest, rng.choice(len(honest), window - num_harvested, replace=False)),
            take_requests(harvest, rng.choice(len(harvest), num_harvested, replace=False)),
        ]
        mixed = merge_streams(drawn)
        mixed = take_requests(mixed, rng.permutation(window))
        return float(detector.score_stream(mixed)[-1])

    threshold = float(np.percentile([measure(known, 0.0) for _ in range(num_null)], PERCENTILE))

    def rate(share: float) -> Interval:
        return wilson(sum(measure(fresh, share) > threshold for _ in range(num_windows)), num_windows)

    return WindowRates(detector.name, window, threshold, rate(0.0), {share: rate(share) for share in SHARES})


def merge_streams(streams: Sequence[StreamArrays]) -> StreamArrays:
    """The requests of several accounts as one account's, in the order given; times are counted anew.

    Args:
        streams: at least one, all of the same width and features.
    """
    if not streams:
        raise InputError("streams", "no account", "give at least one")
    return StreamArrays(
        account="merged",
        label=max((stream.label for stream in streams), key=lambda label: label is Label.EXTRACTION),
        origin="merged",
        campaign=None,
        shape=None,
        embeddings=np.concatenate([stream.embeddings for stream in streams]),
        logits=np.concatenate([stream.logits for stream in streams]),
        times_s=np.arange(sum(len(stream) for stream in streams), dtype=np.float64),
        features=np.concatenate([stream.features for stream in streams]),
        is_extraction=np.concatenate([stream.is_extraction for stream in streams]),
        visible=np.concatenate([stream.visible for stream in streams]),
        families=tuple(family for stream in streams for family in stream.families),
        techniques=tuple(technique for stream in streams for technique in stream.techniques),
    )


def take_requests(stream: StreamArrays, places: NDArray[np.int64]) -> StreamArrays:
    """Some requests of an account, in the order asked for; times are counted anew.

    Args:
        stream: the account.
        places: which requests, shape `(num_taken,)`.
    """
    return replace(
        stream,
        embeddings=stream.embeddings[places],
        logits=stream.logits[places],
        times_s=np.arange(len(places), dtype=np.float64),
        features=stream.features[places],
        is_extraction=stream.is_extraction[places],
        visible=stream.visible[places],
        families=tuple(stream.families[place] for place in places),
        techniques=tuple(stream.techniques[place] for place in places),
        others=None,
    )

"""Calibrates a bundle's stream thresholds on one's own honest traffic, and says what is promised for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stillwatch.data.errors import InputError
from stillwatch.model.bundle import STREAM_ONNX, Bundle
from stillwatch.model.reference import TrafficReference
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.train.streams.comparing import compare_accounts
from stillwatch.train.streams.conformal import ConformalThreshold, calibrate_threshold, take_maxima
from stillwatch.train.streams.scored_log import ScoredRequest
from stillwatch.train.streams.sealing import make_calibration, seal_stream_model


@dataclass(frozen=True, slots=True)
class HonestTraffic:
    """The accounts of a log.

    Attributes:
        maxima: running maximum of each account over the horizon, in the order in which they began.
        num_requests: requests of all of them.
        num_whole: accounts that have as many requests as the horizon.
    """

    maxima: tuple[float, ...]
    num_requests: int
    num_whole: int


def gather_accounts(scored: Iterable[ScoredRequest], horizon: int) -> HonestTraffic:
    """Group scored requests by account.

    Args:
        scored: in the order of time.
        horizon: requests of an account that count.

    Raises:
        InputError: there is none.
    """
    streams: dict[str, list[float]] = defaultdict(list)
    num_requests = 0
    for one in scored:
        streams[one.account].append(one.logit)
        num_requests += 1
    if not streams:
        raise InputError("benign", "a log without a request", "give honest traffic, one request a line")
    maxima = take_maxima((np.array(each) for each in streams.values()), horizon)
    return HonestTraffic(tuple(maxima.tolist()), num_requests, sum(len(each) >= horizon for each in streams.values()))


def promise_flag(
    traffic: HonestTraffic, *, account_fpr: float, horizon: int, confidence: float | None
) -> ConformalThreshold:
    """The threshold for flags with its promise.

    Raises:
        InputError: too few accounts for the rate; how many are needed is said.
    """
    return calibrate_threshold(np.array(traffic.maxima), account_fpr, horizon, confidence)


def warn_of_drift(traffic: HonestTraffic) -> str | None:
    """A warning where accounts that began later differ from those that began earlier; see `compare_accounts`."""
    half = len(traffic.maxima) // 2
    if not half:
        return None
    return compare_accounts(np.array(traffic.maxima[:half]), np.array(traffic.maxima[half:])).warning


def seal_calibrated(
    bundle: Bundle,
    target: Path,
    traffic: HonestTraffic,
    *,
    account_fpr: float,
    horizon: int,
    confidence: float | None,
    reference: TrafficReference | None,
) -> Bundle:
    """Write the bundle with the thresholds of this traffic; probability and rule of least evidence stay.

    Args:
        bundle: with a stream model.
        target: folder of the new bundle.
        traffic: honest accounts.
        account_fpr: share of honest accounts that may ever be flagged.
        horizon: requests that the maxima ran over.
        confidence: as of `calibrate_threshold`.
        reference: what the traffic looked like, for a service to tell drift against.
    """
    detector = StreamDetector.load(bundle.folder)
    calibration = make_calibration(
        np.array(traffic.maxima),
        account_fpr=account_fpr,
        horizon=horizon,
        confidence=confidence,
        before=detector.model.calibration,
    )
    model = detector.model.model_copy(update={"calibration": calibration})
    requests = bundle.calibration.model_copy(update={"reference": reference})
    return seal_stream_model(bundle, target, model, bundle.folder / STREAM_ONNX, requests)

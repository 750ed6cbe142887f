"""The suite of accounts: how soon operators' accounts are flagged, at an account false-alarm rate that is kept.

In each rotation a stream model is fitted, thresholds are set on honest accounts of families that it has not seen,
with every persona among them, and tried on as many fresh ones. All detectors read the same streams in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.errors import InputError
from stillwatch.model.streams.layout import GROUPS, Group
from stillwatch.model.streams.verdict import StreamCalibration
from stillwatch.train.intervals import Interval
from stillwatch.train.streams.arrays import Floats
from stillwatch.train.streams.baselines.detector import StreamDetector
from stillwatch.train.streams.baselines.listing import build_baselines
from stillwatch.train.streams.baselines.mmd import PUBLISHED_WINDOW, MmdDetector
from stillwatch.train.streams.baselines.windows import WindowRates, measure_windows
from stillwatch.train.streams.conformal import calibrate_threshold, count_needed, take_maxima
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.evaluation import PURE, PromiseCheck, SystemFigures
from stillwatch.train.streams.measured_worlds import MeasuredWorlds
from stillwatch.train.streams.measures import FlagRate, LeastEvidence, find_flags, measure_alarms, measure_flags
from stillwatch.train.streams.rotations import Rotation
from stillwatch.train.streams.scoring import score_streams
from stillwatch.train.streams.sealing import choose_review_rate
from stillwatch.train.streams.suite_settings import StreamSuiteConfig

OURS = "stillwatch"
ALONE = "stillwatch-one-account"
"""Ours with the counts over accounts hidden."""
_POOLED = 300  # honest accounts whose requests are pooled for windows
_SHORT_WINDOW = 100  # the paper's smaller window

Score = Callable[[StreamCorpus, Sequence[int]], list[Floats]]
"""The statistic of each of these accounts after each request."""


@dataclass(slots=True)
class Tally:
    """One detector over the rotations.

    Attributes:
        flags: request of the flag of each account, by case.
        campaigns: campaign of each account, by case.
        alarms: by promised rate, flagged fresh honest accounts and their number.
        personas: the same at the first rate, by persona.
        evaluators: the same for evaluators.
    """

    flags: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
    campaigns: dict[str, list[str]] = field(default_factory=dict)
    alarms: dict[float, list[int]] = field(default_factory=dict)
    personas: dict[str, list[int]] = field(default_factory=dict)
    evaluators: list[int] = field(default_factory=lambda: [0, 0])

    def to_figures(self, name: str, suite: StreamSuiteConfig, seed: int) -> SystemFigures:
        """The figures over all rotations."""
        return SystemFigures(
            name,
            {rate: measure_alarms(*counts) for rate, counts in sorted(self.alarms.items())},
            self.measure_cases(suite, seed),
            {persona: measure_alarms(*counts) for persona, counts in sorted(self.personas.items())},
            measure_alarms(*self.evaluators) if self.evaluators[1] else None,
        )

    def measure_cases(self, suite: StreamSuiteConfig, seed: int) -> dict[str, FlagRate]:
        """How soon each case is flagged."""
        return {
            case: measure_flags(
                np.concatenate(flags), self.campaigns[case], seed=seed, num_replicates=suite.bootstrap_replicates
            )
            for case, flags in self.flags.items()
        }


def score_by_network(rotation: Rotation, blind: Iterable[int] = ()) -> Score:
    """Our own statistic, with some slots hidden."""
    hidden = tuple(blind)

    def score(corpus: StreamCorpus, numbers: Sequence[int]) -> list[Floats]:
        return score_streams(rotation.fitted.network, [corpus.vectors_of(number) for number in numbers], blind=hidden)

    return score


def score_by_detector(detector: StreamDetector) -> Score:
    """A published detector's statistic."""
    return lambda corpus, numbers: [detector.score_stream(corpus.arrays(number)) for number in numbers]


def ask_evidence(calibration: Floats, rate: float, horizon: int) -> LeastEvidence:
    """The rule of least evidence that a bundle ships with, for thresholds set on these maxima."""
    fields = StreamCalibration.model_fields
    review = calibrate_threshold(calibration, choose_review_rate(rate), horizon).threshold
    return LeastEvidence(fields["min_requests"].default, fields["min_suspicious"].default, review)


def tally_rotation(
    tally: Tally,
    score: Score,
    worlds: MeasuredWorlds,
    suite: StreamSuiteConfig,
    *,
    is_ours: bool = True,
    most: int | None = None,
) -> tuple[Floats, Floats]:
    """Set thresholds, and count flags of one detector in one rotation.

    Args:
        tally: of the detector; grows.
        score: its statistic.
        worlds: of the rotation.
        suite: the suite.
        is_ours: whether operators' accounts are flagged by the bundle's rule of least evidence, too. False alarms
            are counted without it: it could only make them fewer.
        most: honest accounts of each world that are looked at; all when None.

    Returns:
        running maxima of the honest accounts calibrated on, and of the fresh ones.
    """
    numbers = [range(len(world))[:most] for world in (worlds.calibration, worlds.fresh)]
    calibration, fresh = (
        take_maxima(score(world, number), suite.horizon)
        for world, number in zip((worlds.calibration, worlds.fresh), numbers, strict=True)
    )
    # Where no rate is supported, calibrating says how many accounts are needed.
    rates = [rate for rate in suite.rates if len(calibration) >= count_needed(rate)] or [suite.rates[0]]
    promises = {rate: calibrate_threshold(calibration, rate, suite.horizon) for rate in rates}
    for rate, promise in promises.items():
        _count(tally.alarms.setdefault(rate, [0, 0]), promise.flags(fresh))
    first = promises[rates[0]]
    least = ask_evidence(calibration, rates[0], suite.horizon) if is_ours else None
    for number, flagged in zip(numbers[1], first.flags(fresh), strict=True):
        _count(tally.personas.setdefault(worlds.fresh.members[number].origin, [0, 0]), np.array([flagged]))
    if worlds.evaluators is not None and most is None:
        scored = score(worlds.evaluators, range(len(worlds.evaluators)))
        _count(tally.evaluators, first.flags(take_maxima(scored, suite.horizon)))
    for name, world in worlds.cases.items():
        scored = score(world, range(len(world)))
        tally.flags.setdefault(name, []).append(find_flags(scored, first.threshold, least))
        tally.campaigns.setdefault(name, []).extend(str(member.stream.campaign) for member in world.members)
    return calibration, fresh


def recalibrate(
    maxima: Sequence[tuple[Floats, Floats]], suite: StreamSuiteConfig, *, seed: int
) -> tuple[PromiseCheck, ...]:
    """Promised against realised rates: random halves of the honest accounts of each rotation, many times.

    Args:
        maxima: from `tally_rotation`, of each rotation.
        suite: the suite.
        seed: of the halves.
    """
    rng = np.random.default_rng(seed)
    checks = []
    for rate in suite.rates:
        realised = []
        for calibration, fresh in maxima:
            both = np.concatenate([calibration, fresh])
            if len(both) // 2 < count_needed(rate):
                continue
            for _ in range(suite.recalibrations):
                order = rng.permutation(len(both))
                half = len(both) // 2
                promise = calibrate_threshold(both[order[:half]], rate, suite.horizon)
                realised.append(float(promise.flags(both[order[half:]]).mean()))
        if realised:
            interval = Interval(min(realised), float(np.mean(realised)), max(realised))
            checks.append(PromiseCheck(rate, interval, len(realised), len(maxima[0][0]) + len(maxima[0][1])))
    return tuple(checks)


def list_detectors(train: StreamCorpus, suite: StreamSuiteConfig, seed: int) -> dict[str, Score]:
    """The published detectors, fitted on accounts of the training world."""
    if not suite.baselines.run:
        return {}
    operators = train.is_operator()
    rng = np.random.default_rng(seed)
    sides = [rng.permutation(np.flatnonzero(operators == side))[: suite.baselines.fitted_on] for side in (False, True)]
    honest, others = ([train.arrays(int(number)) for number in side] for side in sides)
    scores: dict[str, Score] = {}
    for detector in build_baselines(seed):
        detector.fit(honest, others)
        scores[detector.name] = score_by_detector(detector)
    return scores


def measure_published(worlds: MeasuredWorlds, seed: int) -> tuple[WindowRates, ...]:
    """MMD as it was published: windows drawn from pooled traffic; one that the requests do not fill is left out."""
    honest = [worlds.fresh.arrays(number) for number in range(min(len(worlds.fresh), _POOLED))]
    world = worlds.cases.get(PURE)
    harvest = [world.arrays(number) for number in range(len(world))] if world is not None else []
    rates = []
    for window in (_SHORT_WINDOW, PUBLISHED_WINDOW):
        with suppress(InputError):
            detector = MmdDetector(window, seed=seed)
            rates.append(measure_windows(detector, honest, harvest, window=window, seed=seed))
    return tuple(rates)


def list_ablations(rotation: Rotation) -> dict[str, Score]:
    """Our own statistic with each group of slots hidden, but for the one that `ALONE` hides anyway."""
    return {group.value: score_by_network(rotation, GROUPS[group]) for group in Group if group is not Group.OTHERS}


def time_network(rotation: Rotation, corpus: StreamCorpus) -> dict[str, float]:
    """Milliseconds of scoring a request of a stream when whole streams are scored at once."""
    numbers = range(min(len(corpus), 50))
    start = perf_counter()
    scored = score_by_network(rotation)(corpus, numbers)
    return {"network_ms_a_request_in_bulk": 1000 * (perf_counter() - start) / sum(map(len, scored))}


def _count(counts: list[int], flagged: NDArray[np.bool_]) -> None:
    counts[0] += int(flagged.sum())
    counts[1] += len(flagged)

"""Detectors that may be looked at after every request: an e-process with Ville's inequality, and CUSUM.

An e-process starts at 1 and is expected never to rise for an honest account; the chance that it ever reaches 1/alpha
is at most alpha, whatever the horizon (Ville 1939; Ramdas et al., Statistical Science 2023). That holds when an
honest account's requests are independent, each drawn as the calibration's are, and the calibration is large enough
to be taken for the truth (p-values that share one are not independent; Bates et al. 2023). Accounts are not so: one
persona's requests score higher than another's, and alike among themselves. So the bound at 1/alpha is measured
beside the conformal one (`conformal.py`), which needs none of that, and is promised to nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from stillwatch.data.errors import InputError
from stillwatch.train.streams.arrays import Floats, StreamArrays
from stillwatch.train.streams.baselines.detector import require_fitted, require_requests
from stillwatch.train.streams.baselines.drawing import draw_logits
from stillwatch.train.streams.conformal import rank_accounts

_POWERS = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
"""Exponents of the power bets `power * p ** (power - 1)`; the nearer to 0, the more is staked on tiny p-values."""
_SHARES = (0.05, 0.1, 0.25, 0.5, 0.95)
"""Attacker shares for which the learnt bets are laid; below 1, so that one honest request never ruins them."""
_NUM_BINS = 50
_NUM_CALIBRATION = 50_000
_FEWEST = 50


def ville_threshold(alpha: float) -> float:
    """The logarithm of 1/alpha, at which an e-process's logarithm is flagged.

    Args:
        alpha: chance that an honest account is ever flagged.

    Raises:
        InputError: when it is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise InputError("alpha", "a rate outside 0 to 1", "give a share such as 0.001")
    return -math.log(alpha)


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """How wealth is staked on p-values. Every bet falls with p and is 1 on average over p from 0 to 1.

    Attributes:
        calibration: logits of honest requests, sorted.
        edges: upper edges of the bins of p of the learnt bets, shape `(bins,)`; None for power bets.
        ratios: likelihood ratio of extraction in each bin, shape `(bins,)`; None for power bets.
    """

    calibration: Floats
    edges: Floats | None = None
    ratios: Floats | None = None

    def lay(self, logits: Floats) -> Floats:
        """Logarithm of what each bet returns on each request, shape `(bets, requests)`."""
        p_values = rank_accounts(self.calibration, logits)
        if self.edges is None or self.ratios is None:
            powers = np.array(_POWERS)[:, None]
            returned: Floats = np.log(powers) + (powers - 1) * np.log(p_values)
            return returned
        ratio = self.ratios[np.searchsorted(self.edges, p_values, side="left").clip(max=len(self.ratios) - 1)]
        learnt: Floats = np.log1p(np.array(_SHARES)[:, None] * (ratio - 1))
        return learnt


@dataclass(slots=True, eq=False)
class EProcessDetector:
    """Logarithm of an e-process over the account's requests.

    Each request gets a conformal p-value among honest requests' logits (Vovk, Gammerman and Shafer 2005, chapter 7);
    a betting martingale multiplies its returns, and the e-process is a mixture over bets and over the request at
    which the harvest begins, request s with weight 1 / (s * (s + 1)), so that an honest past costs only that.

    Attributes:
        learns_ratio: bets are mixtures with a likelihood ratio learnt from extraction requests, made to fall with p
            by isotonic regression; otherwise power bets, which see no extraction (Vovk's simple mixture).
        num_calibration: honest requests that p-values are ranked among.
        seed: of their draw.
    """

    learns_ratio: bool = False
    num_calibration: int = _NUM_CALIBRATION
    seed: int = 0
    _bets: Bets | None = field(init=False, default=None, repr=False)

    @property
    def name(self) -> str:
        """`e-process` or `e-process-learnt`."""
        return "e-process-learnt" if self.learns_ratio else "e-process"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Keep honest logits, every account as likely as any other; learn the ratio where asked.

        Raises:
            InputError: too few requests, or no extraction where the ratio is to be learnt.
        """
        require_requests(benign_streams, _FEWEST, "the honest logits of the e-process")
        calibration = np.sort(draw_logits(benign_streams, self.num_calibration, self.seed))
        if not self.learns_ratio:
            self._bets = Bets(calibration)
            return
        harvested = _gather_extraction(extraction_streams or ())
        if harvested.size < _FEWEST:
            raise InputError("extraction_streams", f"{harvested.size} extraction requests", f"give at least {_FEWEST}")
        self._bets = Bets(calibration, *_learn_ratios(rank_accounts(calibration, harvested), calibration.size))

    def score_stream(self, stream: StreamArrays) -> Floats:
        """The logarithm of the e-value after each request; flagged at `ville_threshold` or at a calibrated one."""
        wealth = np.cumsum(require_fitted(self._bets, self.name).lay(stream.logits), axis=1)
        before = np.concatenate([np.zeros((len(wealth), 1)), wealth[:, :-1]], axis=1)
        numbers = np.arange(1, len(stream) + 1)
        begun = wealth + np.logaddexp.accumulate(-np.log(numbers * (numbers + 1.0)) - before, axis=1)
        to_begin = -np.log(numbers + 1.0)  # the weight of all later requests
        each = np.logaddexp(begun, to_begin)
        values: Floats = np.logaddexp.reduce(each, axis=0) - np.log(len(each))
        return values


@dataclass(slots=True, eq=False)
class CusumDetector:
    """CUSUM of the request score (Page, Biometrika 1954): `S_t = max(0, S_{t-1} + increment_t)`.

    The increment is the logarithm of the likelihood ratio that a logistic regression of the truth on the logit
    gives; without extraction to fit on, the standardised logit less a drift of half a standard deviation.
    """

    _slope: float | None = field(init=False, default=None, repr=False)
    _offset: float = field(init=False, default=0.0, repr=False)

    @property
    def name(self) -> str:
        """`cusum`."""
        return "cusum"

    def fit(self, benign_streams: Sequence[StreamArrays], extraction_streams: Sequence[StreamArrays] | None) -> None:
        """Fit the increment to honest requests and, where given, to extraction requests."""
        require_requests(benign_streams, _FEWEST, "the honest logits of CUSUM")
        honest = draw_logits(benign_streams, _NUM_CALIBRATION, 0)
        harvested = _gather_extraction(extraction_streams or ())
        if harvested.size < _FEWEST:
            deviation = max(float(honest.std()), 1e-9)
            self._slope, self._offset = 1 / deviation, -float(honest.mean()) / deviation - 0.5
            return
        truth = np.repeat([0, 1], [honest.size, harvested.size])
        model = LogisticRegression(class_weight="balanced").fit(np.concatenate([honest, harvested])[:, None], truth)
        self._slope, self._offset = float(model.coef_[0, 0]), float(model.intercept_[0])

    def score_stream(self, stream: StreamArrays) -> Floats:
        """S after each request, from 0."""
        slope = require_fitted(self._slope, self.name)
        walk = np.cumsum(slope * stream.logits + self._offset)
        sums: Floats = walk - np.minimum(np.minimum.accumulate(walk), 0)
        return sums


def _gather_extraction(streams: Sequence[StreamArrays]) -> Floats:
    return np.concatenate([np.empty(0), *(stream.logits[stream.is_extraction] for stream in streams)])


def _learn_ratios(p_values: Floats, num_calibration: int) -> tuple[Floats, Floats]:
    # Density of extraction's p-values over bins that grow from the finest step of p to 1; honest density is 1.
    edges = np.unique(np.geomspace(1 / (num_calibration + 1), 1, _NUM_BINS))
    widths = np.diff(edges, prepend=0.0)
    counts = np.bincount(np.searchsorted(edges, p_values, side="left").clip(max=edges.size - 1), minlength=edges.size)
    density = (counts + widths) / (p_values.size + 1) / widths  # one request more, spread as honest ones are
    falling: NDArray[np.float64] = IsotonicRegression(increasing=False).fit_transform(
        np.arange(edges.size), density, sample_weight=widths
    )
    return edges, falling / (falling @ widths)

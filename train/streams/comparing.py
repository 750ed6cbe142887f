"""Could a promise be kept? Two samples of honest accounts against each other.

The tests are exact or asymptotic statements about exchangeable accounts; none can show that accounts to come will be
like those at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import fisher_exact, ks_2samp

from stillwatch.data.errors import InputError
from stillwatch.train.streams.arrays import Floats

_TAIL = 0.1
"""Share of accounts, those with the highest maxima, that a comparison looks at on its own."""
_SUSPICIOUS = 0.01


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two samples of honest accounts that ought to be alike.

    Attributes:
        p_value: how likely such a difference is among exchangeable accounts: the lesser of two tests, doubled.
        warning: what is wrong in words, None when nothing is.
    """

    p_value: float
    warning: str | None


def compare_accounts(one: Floats, other: Floats) -> Comparison:
    """Whether two samples of honest accounts look exchangeable, such as the earlier and the later half by start.

    Kolmogorov-Smirnov on all maxima, and Fisher's exact test on the highest tenth, where the threshold will lie.
    It sees gross differences only: a high p-value proves nothing.

    Args:
        one: maxima of the accounts of a sample.
        other: of another; not a random half of the same, which would always pass.

    Raises:
        InputError: when a sample is empty.
    """
    if not len(one) or not len(other):
        raise InputError("maxima", "an empty sample of accounts", "compare two samples that hold accounts")
    bar = np.quantile(np.concatenate([one, other]), 1 - _TAIL, method="higher")
    highest = [int((sample >= bar).sum()) for sample in (one, other)]
    table = [[high, len(sample) - high] for high, sample in zip(highest, (one, other), strict=True)]
    p_value = min(1.0, 2 * min(float(ks_2samp(one, other).pvalue), float(fisher_exact(table).pvalue)))
    warning = None
    if p_value < _SUSPICIOUS:
        warning = (
            f"the two samples of honest accounts differ (p = {p_value:.2g}; {highest[0]} of {len(one)} and "
            f"{highest[1]} of {len(other)} among the highest tenth): the promise may not hold for later accounts; "
            f"calibrate on traffic like that to come"
        )
    return Comparison(p_value, warning)

"""Measures campaigns as they are regenerated, beside what was published. Times are drawn; texts are not needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median

from stillwatch.data.streams.planning import CampaignPlan
from stillwatch.data.streams.rhythms import DAY_S


@dataclass(frozen=True, slots=True)
class Regenerated:
    """A campaign as its accounts really send it.

    Attributes:
        exchanges: requests of all accounts, counted.
        accounts: accounts that sent something.
        accounts_at_a_time: accounts alive in the middle of the window.
        window_days: from the first request to the last.
        peak_a_day: requests of the busiest day.
        per_account: mean of an account.
        per_account_median: median of an account.
        per_account_a_day: the busiest day's requests for each account alive in the middle.
    """

    exchanges: int
    accounts: int
    accounts_at_a_time: int
    window_days: float
    peak_a_day: int
    per_account: float
    per_account_median: float
    per_account_a_day: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A shape's published and assumed figures, those wanted at a scale, and those regenerated."""

    name: str
    scale: float
    published: Mapping[str, float]
    assumed: Mapping[str, float]
    wanted_exchanges: int
    wanted_accounts: int
    regenerated: Regenerated

    def as_json(self) -> dict[str, object]:
        """A JSON object."""
        return asdict(self)


def compare_shape(plan: CampaignPlan, scale: float) -> Comparison:
    """Draw all times of a campaign and count.

    Args:
        plan: the campaign, laid out at that scale.
        scale: the scale, told again in the result.
    """
    extent, shape = plan.extent, plan.shape
    return Comparison(
        shape.name, scale, shape.published, shape.assumed, extent.exchanges, extent.accounts, measure_campaign(plan)
    )


def measure_campaign(plan: CampaignPlan) -> Regenerated:
    """Draw all times of a campaign and count."""
    begin_s = plan.envelope.begin_s
    middle_s = begin_s + plan.extent.window_s / 2
    days: Counter[int] = Counter()
    counts, alive = [], 0
    first_s, last_s = float("inf"), float("-inf")
    for index in range(len(plan)):
        schedule = plan.lay_out(index).schedule
        alive += schedule.begin_s <= middle_s < schedule.end_s
        counts.append(0)
        for time_s in schedule.iter_times():
            counts[-1] += 1
            days[int((time_s - begin_s) // DAY_S)] += 1
            first_s, last_s = min(first_s, time_s), max(last_s, time_s)
    exchanges, peak = sum(counts), max(days.values())
    return Regenerated(
        exchanges=exchanges,
        accounts=sum(count > 0 for count in counts),
        accounts_at_a_time=alive,
        window_days=round((last_s - first_s) / DAY_S, 2),
        peak_a_day=peak,
        per_account=round(exchanges / len(counts), 2),
        per_account_median=median(counts),
        per_account_a_day=round(peak / max(1, alive), 1),
    )

"""A campaign unfolding: accounts over time, their stream logits, the flag of each, and the moment of the campaign's."""

from __future__ import annotations

from datetime import UTC, datetime

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stillwatch.train.canvas import EXTRACTION, INK, caption, legend, new_figure, style
from stillwatch.train.streams.grouping import FoundCampaign

_MOST_ACCOUNTS = 60
_DAY_S = 86_400.0
_HOUR_S = 3_600.0


def draw_campaign(campaign: FoundCampaign) -> Figure:
    """Draw the campaign's first accounts, a row each, with their requests coloured by the stream logit after them."""
    members = campaign.members[:_MOST_ACCOUNTS]
    figure = new_figure(8.0, max(3.0, min(9.0, 1.6 + 0.14 * len(members))))
    axes = figure.add_subplot()
    begin = campaign.first_s
    unit, name = (_DAY_S, "days") if campaign.last_s - begin > 3 * _DAY_S else (_HOUR_S, "hours")
    points = [
        ((time_s - begin) / unit, row + 1, logit)
        for row, member in enumerate(members)
        for time_s, logit in zip(member.times_s, member.logits, strict=True)
    ]
    x, y, logits = zip(*points, strict=True)
    bound = max(4.0, max(abs(logit) for logit in logits))
    dots = axes.scatter(x, y, c=logits, cmap="coolwarm", vmin=-bound, vmax=bound, s=9, linewidths=0)
    flagged = [(row, member.flag_s) for row, member in enumerate(members) if member.flag_s is not None]
    if flagged:
        axes.scatter(
            [(flag_s - begin) / unit for _, flag_s in flagged],
            [row + 1 for row, _ in flagged],
            marker="x",
            c=INK,
            s=26,
            linewidths=1.2,
            label="account flagged",
        )
    if campaign.flag_s is not None:
        axes.axvline((campaign.flag_s - begin) / unit, color=EXTRACTION, lw=1.5, label="campaign flagged")
    if axes.get_legend_handles_labels()[0]:
        legend(axes, "above")
    axes.invert_yaxis()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    more = f" (first {len(members)} shown)" if len(members) < len(campaign.members) else ""
    caption(
        figure,
        f"{campaign.name}: {len(campaign.members)} accounts{more}, {campaign.num_exchanges:,} exchanges, "
        f"{campaign.num_leaked:,} before the campaign was flagged",
    )
    figure.colorbar(dots, ax=axes, label="stream logit")
    style(axes, x=f"{name} since {datetime.fromtimestamp(begin, UTC):%d %B %Y, %H:%M} UTC", y="account")
    return figure

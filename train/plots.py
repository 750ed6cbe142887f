"""The plots of a result, each a `Figure` for the tracking store; its caption tells what is shown, and n.

A plot shows all records it is given; a false-positive rate below what n can resolve stands on a grey ground.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import ArrayLike

from stillwatch.data.errors import InputError
from stillwatch.train.canvas import (
    BENIGN,
    EXTRACTION,
    INK,
    MUTED,
    PALE_EXTRACTION,
    SERIES,
    STYLES,
    caption,
    count_log,
    legend,
    new_figure,
    style,
)
from stillwatch.train.intervals import wilson
from stillwatch.train.metrics import (
    auprc,
    auroc,
    expected_calibration_error,
    precision_recall_points,
    reliability_bins,
    roc_points,
)
from stillwatch.train.summary import FPRS, SliceRate

Scored = tuple[ArrayLike, ArrayLike]
"""Labels (0 or 1) and scores of the same records, each of shape `(num_records,)`."""


def roc_log(curves: Mapping[str, Scored]) -> Figure:
    """ROC curves over a logarithmic false-positive rate, where a gateway lives: 1% and 0.1% are marked.

    Args:
        curves: labels and scores of each compared model, best drawn first.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    most_benign = max(int((np.asarray(labels) == 0).sum()) for labels, _ in curves.values())
    floor = min(1e-3, 1 / most_benign) / 2
    for (name, scored), colour, line in zip(curves.items(), cycle(SERIES), cycle(STYLES)):
        fpr, tpr = roc_points(*scored)
        axes.plot(
            np.maximum(fpr, floor),
            tpr,
            drawstyle="steps-post",
            color=colour,
            linestyle=line,
            linewidth=2,
            label=f"{name}  (AUROC {auroc(*scored):.3f})",
        )
    for rate in FPRS:
        axes.axvline(rate, color=MUTED, linewidth=1, linestyle=":")
    axes.axvspan(floor, 1 / most_benign, color="#EFEFEF", zorder=0)
    axes.set(xscale="log", xlim=(floor, 1), ylim=(0, 1.015))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    style(axes, x="False-positive rate (log)", y="True-positive rate", title="ROC")
    legend(axes, "lower right")
    caption(figure, f"Extraction caught over benign flagged; {_count(curves)}; grey: below one benign.")
    return figure


def precision_recall(curves: Mapping[str, Scored]) -> Figure:
    """Precision over recall.

    Args:
        curves: labels and scores of each compared model, best drawn first.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for (name, scored), colour, line in zip(curves.items(), cycle(SERIES), cycle(STYLES)):
        recall, precision = precision_recall_points(*scored)
        axes.plot(
            recall,
            precision,
            color=colour,
            linestyle=line,
            linewidth=2,
            label=f"{name}  (AUPRC {auprc(*scored):.3f})",
        )
    labels = np.concatenate([np.asarray(labels) for labels, _ in curves.values()])
    axes.axhline(labels.mean(), color=MUTED, linewidth=1, linestyle=":")
    axes.annotate("flag everything", (0.99, labels.mean()), color=MUTED, fontsize=9, va="bottom", ha="right")
    axes.set(xlim=(0, 1), ylim=(0, 1.015))
    style(axes, x="Recall", y="Precision", title="Precision and recall")
    legend(axes, "lower left")
    caption(figure, f"Precision at this mix of labels, not at a gateway's; {_count(curves)}.")
    return figure


def reliability(labels: ArrayLike, probabilities: ArrayLike) -> Figure:
    """Observed share of extraction over predicted probability in equal-mass bins at even odds, with their histogram.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`.
        probabilities: calibrated probabilities, the same shape.
    """
    figure = new_figure(height=5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = reliability_bins(labels, probabilities)
    predicted = [mean for mean, _, _ in bins]
    observed = [wilson(share * mass, mass) for _, share, mass in bins]
    upper.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=":")
    upper.errorbar(
        predicted,
        [interval.value for interval in observed],
        yerr=[
            [interval.value - interval.low for interval in observed],
            [interval.high - interval.value for interval in observed],
        ],
        fmt="o",
        color=EXTRACTION,
        ecolor=EXTRACTION,
        elinewidth=1.5,
        capsize=3,
        markersize=6,
    )
    upper.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
    error = expected_calibration_error(labels, probabilities)
    style(upper, x="", y="Observed share of extraction", title=f"Reliability (calibration error {error:.3f})")
    lower.hist(np.asarray(probabilities), bins=np.linspace(0, 1, 41).tolist(), color=MUTED)
    count_log(lower)
    style(lower, x="Predicted probability of extraction", y="Records (log)")
    figure.align_ylabels()
    caption(
        figure,
        f"{len(bins)} bins of equal mass at even odds, 95% Wilson intervals; {_count({'': (labels, probabilities)})}.",
    )
    return figure


def score_histograms(labels: ArrayLike, scores: ArrayLike, thresholds: Mapping[str, float] | None = None) -> Figure:
    """Where the scores of both labels lie, with the thresholds.

    Args:
        labels: 0 for benign, 1 for extraction, shape `(num_records,)`.
        scores: probabilities or logits, the same shape.
        thresholds: name and value of each threshold.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    edges = np.linspace(values.min(), max(values.max(), values.min() + 1e-6), 51).tolist()
    for label, name, colour in ((0, "benign", BENIGN), (1, "extraction", EXTRACTION)):
        chosen = values[truth == label]
        axes.hist(chosen, bins=edges, color=colour, alpha=0.35)
        axes.hist(
            chosen,
            bins=edges,
            histtype="step",
            color=colour,
            linewidth=1.8,
            label=f"{name} (n = {len(chosen):,})",
        )
    for (name, value), line in zip((thresholds or {}).items(), cycle(("--", ":", "-."))):
        axes.axvline(value, color=INK, linewidth=1.4, linestyle=line, label=f"{name} at {value:.4g}")
    count_log(axes)
    style(axes, x="Score", y="Records (log)", title="Scores by label")
    legend(axes, "above")
    caption(figure, f"Records of each label in 50 bins of score, on a log axis; {_count({'': (labels, scores)})}.")
    return figure


def family_bars(rates: Sequence[SliceRate], *, max_families: int = 60) -> Figure:
    """The TPR of each extraction family at one threshold with its interval, lowest at the top.

    Args:
        rates: extraction slices by family, all at one false-positive rate, from `by_slice`.
        max_families: the lowest so many are drawn; the caption tells how many there are.

    Raises:
        InputError: when there is no extraction slice, or slices of several thresholds.
    """
    worst = sorted((rate for rate in rates if rate.is_extraction), key=lambda rate: (rate.rate.value, rate.group))
    if len({rate.threshold for rate in worst}) != 1:
        raise InputError("rates", "slices of no or several thresholds", "give extraction slices at one threshold")
    shown = worst[:max_families]
    figure = new_figure(width=8.0, height=1.7 + 0.24 * len(shown))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    values = [rate.rate.value for rate in shown]
    axes.barh(places, values, color=PALE_EXTRACTION, height=0.7)
    axes.errorbar(
        values,
        places,
        xerr=[
            [rate.rate.value - rate.rate.low for rate in shown],
            [rate.rate.high - rate.rate.value for rate in shown],
        ],
        fmt="none",
        ecolor=INK,
        elinewidth=1.2,
        capsize=2.5,
    )
    axes.set_yticks(places, [f"{rate.group}  ({rate.num_records})" for rate in shown])
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    style(
        axes,
        x=f"True-positive rate at {100 * shown[0].fpr:g}% false positives",
        y="Family (records)",
        title="Caught by family",
    )
    axes.grid(visible=False, axis="y")
    num_records = sum(rate.num_records for rate in worst)
    which = (
        f"{len(worst)} families" if len(shown) == len(worst) else f"the lowest {len(shown)} of {len(worst)} families"
    )
    caption(figure, f"95% Wilson intervals; {which}, n = {num_records:,} extraction records in all.")
    return figure


def _count(curves: Mapping[str, Scored]) -> str:
    """`n = 1,200 benign, 300 extraction`, or the range where curves were drawn from different records."""
    sizes = {
        (int((np.asarray(labels) == 0).sum()), int((np.asarray(labels) == 1).sum())) for labels, _ in curves.values()
    }
    if len(sizes) > 1:
        return f"n = {min(map(sum, sizes)):,} to {max(map(sum, sizes)):,} records"
    benign, extraction = sizes.pop()
    return f"n = {benign:,} benign, {extraction:,} extraction"

"""Plots: labelled, captioned with n, and holding the data they were given."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stillwatch.data.errors import InputError
from stillwatch.train import plots
from stillwatch.train.metrics import reliability_bins, roc_points
from stillwatch.train.summary import SliceRate, by_slice

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 300)
SCORES = 1 / (1 + np.exp(-(RNG.normal(size=300) + 2 * LABELS - 1)))
FAMILIES = [f"family-{number % 12}-{label}" for number, label in enumerate(LABELS)]
CURVES = {"first": (LABELS, SCORES), "second": (LABELS, SCORES**2 + RNG.normal(size=300) / 5)}


def slices() -> tuple[SliceRate, ...]:
    return by_slice(LABELS, SCORES, FAMILIES, FAMILIES, thresholds={0.01: 0.6}, seed=0)


PLOTS: dict[str, Callable[[], Figure]] = {
    "roc_log": lambda: plots.roc_log(CURVES),
    "precision_recall": lambda: plots.precision_recall(CURVES),
    "reliability": lambda: plots.reliability(LABELS, SCORES),
    "score_histograms": lambda: plots.score_histograms(LABELS, SCORES, {"review": 0.7}),
    "family_bars": lambda: plots.family_bars(slices()),
}


def first_axes(figure: Figure) -> Axes:
    return figure.get_axes()[0]


@pytest.mark.parametrize("name", PLOTS)
def test_every_axis_is_labelled_and_the_caption_tells_n(name: str) -> None:
    figure = PLOTS[name]()
    axes = figure.get_axes()
    assert all(one.get_ylabel() for one in axes)
    assert axes[-1].get_xlabel()  # stacked panels share the lowest
    assert axes[0].get_title(loc="left")
    (caption,) = figure.texts
    assert "n = " in caption.get_text()


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_drawn_inside_its_image(name: str) -> None:
    figure = PLOTS[name]()
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    for text in (*figure.texts, *(one.xaxis.label for one in figure.get_axes())):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    kept = io.BytesIO()
    figure.savefig(kept, format="png")
    assert kept.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_leaves_nothing_open_in_pyplot(name: str) -> None:
    PLOTS[name]()
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_roc_is_logarithmic_and_holds_every_curve() -> None:
    axes = first_axes(plots.roc_log(CURVES))
    assert axes.get_xscale() == "log"
    drawn = {str(line.get_label()).split("  ")[0]: line for line in axes.get_lines()}
    fpr, tpr = roc_points(*CURVES["first"])
    assert np.allclose(np.asarray(drawn["first"].get_ydata(), dtype=float), tpr)
    assert np.allclose(np.asarray(drawn["first"].get_xdata(), dtype=float)[fpr > 0], fpr[fpr > 0])
    assert "second" in drawn


def test_curves_of_different_records_say_so() -> None:
    figure = plots.precision_recall({"all": (LABELS, SCORES), "half": (LABELS[:150], SCORES[:150])})
    assert "n = 150 to 300 records" in figure.texts[0].get_text()


def test_reliability_draws_each_bin_where_it_lies() -> None:
    axes = first_axes(plots.reliability(LABELS, SCORES))
    (markers,) = [line for line in axes.get_lines() if line.get_marker() == "o"]
    expected = [(mean, share) for mean, share, _ in reliability_bins(LABELS, SCORES)]
    assert np.allclose(np.asarray(markers.get_xydata(), dtype=float), expected)


def test_family_bars_run_from_the_worst_and_tell_what_is_left_out() -> None:
    worst = sorted(one.rate.value for one in slices() if one.is_extraction)
    figure = plots.family_bars(slices(), max_families=4)
    widths = [patch.get_width() for patch in first_axes(figure).patches if hasattr(patch, "get_width")]
    assert widths == pytest.approx(worst[:4])
    assert f"lowest 4 of {len(worst)} families" in figure.texts[0].get_text()


def test_bars_of_two_thresholds_are_refused() -> None:
    mixed = by_slice(LABELS, SCORES, FAMILIES, FAMILIES, thresholds={0.01: 0.6, 0.001: 0.9}, seed=0)
    with pytest.raises(InputError, match="one threshold"):
        plots.family_bars(mixed)


def test_scores_of_one_value_are_drawn() -> None:
    plots.score_histograms([0, 1], [0.5, 0.5]).canvas.draw()

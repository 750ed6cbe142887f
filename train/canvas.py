"""The house style of plots: one or two panels, labelled axes, a title and a one-line caption that tells n.

Figures are made without pyplot, so nothing is left open and no display is needed. Colours are those of Okabe
and Ito ("Color Universal Design", 2008), told apart under every common colour blindness.
"""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

BENIGN = "#0072B2"
"""Blue: benign records."""

EXTRACTION = "#D55E00"
"""Vermilion: extraction records."""

PALE_EXTRACTION = "#F0B690"
"""Bars under an interval."""

SERIES = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Colours of compared curves, in order."""

STYLES = ("-", "--", "-.", ":")
"""Line styles of compared curves, in order, so that they are told apart in grey too."""

INK = "#222222"
"""Text and axes."""

MUTED = "#767676"
"""Guides and captions."""

DPI = 150
"""Dots per inch; a figure 7 inches wide is 1050 dots."""

_CAPTION_INCHES = 0.34


def new_figure(width: float = 7.0, height: float = 5.0) -> Figure:
    """An empty figure on an Agg canvas.

    Args:
        width: inches.
        height: inches.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Label both axes and give them the house's ticks, grid and frame."""
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    if title:
        axes.set_title(title, fontsize=13, color=INK, loc="left", fontweight="bold", pad=10)
    axes.tick_params(labelsize=10, colors=INK, which="both")
    axes.grid(visible=True, which="major", color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)


def legend(axes: Axes, corner: Literal["lower left", "lower right", "above"]) -> None:
    """Name what is drawn, on a ground that covers the grid and leaves curves visible."""
    axes.legend(
        loc="lower right" if corner == "above" else corner,
        bbox_to_anchor=(0, 1, 1, 0) if corner == "above" else (0, 0, 1, 1),
        ncols=2 if corner == "above" else 1,
        fontsize=10,
        labelcolor=INK,
        edgecolor="none",
        facecolor="white",
        framealpha=0.85,
    )


def count_log(axes: Axes) -> None:
    """Count on a logarithmic y axis in plain numbers, so that a single record shows."""
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def caption(figure: Figure, text: str) -> None:
    """Write one line below everything, and lay the panels out above it."""
    height = figure.get_figheight()
    figure.set_layout_engine("constrained", rect=(0.0, _CAPTION_INCHES / height, 1.0, 1 - _CAPTION_INCHES / height))
    figure.text(0.012, 0.12 / height, text, fontsize=9, color=MUTED, va="bottom", ha="left")

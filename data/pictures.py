"""The pictures of a dataset as SVG text: lengths, languages, techniques, families, and the shortcut audit."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stillwatch.data.labels import Label
from stillwatch.data.records import LabelledRequest

BENIGN, EXTRACTION, NEUTRAL = "#2b6cb0", "#c05621", "#718096"
"""Colours that stay apart for the colour-blind and in print."""

_AUDITED = 14  # features shown


def draw_pictures(
    splits: Mapping[str, Sequence[LabelledRequest]], facts: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """Draw a dataset.

    Args:
        splits: its records.
        facts: of its manifest; the audits are drawn from there.

    Returns:
        for each picture a title, a sentence that says what is seen, and the SVG element.
    """
    records = [record for rows in splits.values() for record in rows]
    return [
        ("Lengths", "Characters of a request, on a logarithmic scale, by label.", _draw_lengths(records)),
        ("Languages", "Requests by language and label.", _draw_bars(records, lambda r: r.lang)),
        ("Techniques", "Extraction requests by technique and split.", _draw_techniques(splits)),
        (
            "Sources",
            "Requests by source and label; the pass of an authored request is its source.",
            _draw_bars(records, lambda r: r.source, limit=24),
        ),
        ("Shortcut audit", "AUC of one outward feature alone; the dashed line is chance.", _draw_audit(facts)),
    ]


def _draw_lengths(records: Sequence[LabelledRequest]) -> str:
    figure = Figure(figsize=(7, 2.8))
    axes = figure.subplots()
    longest = max(record.request.num_characters for record in records)
    bins = np.geomspace(10, max(longest, 100), 40)
    for name, colour in ((Label.BENIGN, BENIGN), (Label.EXTRACTION, EXTRACTION)):
        lengths = [record.request.num_characters for record in records if record.label is name]
        axes.hist(lengths, bins=bins.tolist(), histtype="step", color=colour, label=name.value, linewidth=1.6)
    axes.set_xscale("log")
    axes.set_xlabel("characters")
    axes.set_ylabel("requests")
    _add_legend(axes)
    return _to_svg(figure)


def _draw_bars(records: Sequence[LabelledRequest], key: Any, limit: int = 20) -> str:
    counts = Counter((key(record), record.label) for record in records)
    names = [name for name, _ in Counter(key(record) for record in records).most_common(limit)][::-1]
    figure = Figure(figsize=(7, 0.9 + 0.22 * len(names)))
    axes = figure.subplots()
    left = np.zeros(len(names))
    for label, colour in ((Label.BENIGN, BENIGN), (Label.EXTRACTION, EXTRACTION), (Label.AMBIGUOUS, NEUTRAL)):
        widths = np.array([counts[name, label] for name in names])
        if widths.any():
            axes.barh(names, widths, left=left, color=colour, label=label.value)
            left += widths
    axes.set_xlabel("requests")
    _add_legend(axes)
    return _to_svg(figure)


def _draw_techniques(splits: Mapping[str, Sequence[LabelledRequest]]) -> str:
    names = sorted({r.technique.value for rows in splits.values() for r in rows if r.technique and r.is_extraction})
    figure = Figure(figsize=(7, 0.9 + 0.4 * len(names)))
    axes = figure.subplots()
    left = np.zeros(len(names))
    for (split, rows), shade in zip(splits.items(), (EXTRACTION, "#dd9a72", "#f3d9c9"), strict=False):
        counts = Counter(r.technique.value for r in rows if r.technique and r.is_extraction)
        widths = np.array([counts[name] for name in names])
        axes.barh(names, widths, left=left, color=shade, label=split)
        left += widths
    axes.set_xlabel("extraction requests")
    _add_legend(axes)
    return _to_svg(figure)


def _draw_audit(facts: Mapping[str, Any]) -> str:
    before, after = facts["audit_before"]["auc"], facts["audit_after"]["auc"]
    names = sorted(before, key=lambda name: -abs(before[name] - 0.5))[:_AUDITED][::-1]
    figure = Figure(figsize=(7, 0.9 + 0.26 * len(names)))
    axes = figure.subplots()
    axes.axvline(0.5, color=NEUTRAL, linestyle="--", linewidth=1)
    places = range(len(names))
    axes.scatter([before[name] for name in names], places, color=NEUTRAL, marker="o", label="before the balance")
    axes.scatter([after.get(name, 0.5) for name in names], places, color=EXTRACTION, marker="D", label="as shipped")
    axes.set_yticks(list(places), names)
    axes.set_xlim(0.3, 0.7)
    axes.set_xlabel("AUC (right: more in extraction)")
    _add_legend(axes)
    return _to_svg(figure)


def _add_legend(axes: Axes) -> None:
    """Above the picture, where it covers nothing."""
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)


def _to_svg(figure: Figure) -> str:
    figure.set_layout_engine("tight")
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "stillwatch", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]

"""The curves of a report: ROC, scores by label, reliability. Each is one SVG that states its finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from stillwatch.train.intervals import wilson
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.report_drawing import SHAPES, Anchor, Drawing, Scale
from stillwatch.train.suites.report_palette import NUM_SERIES
from stillwatch.train.suites.report_wording import (
    count,
    name_fpr,
    name_system,
    tell_reliability,
    tell_roc,
    tell_scores,
)
from stillwatch.train.suites.system_result import SystemResult
from stillwatch.train.summary import FPRS

_NUM_BINS = 48
_THRESHOLD_WIDTH = 96  # of the words over a threshold's line
_LEFT, _RIGHT, _TOP = 64.0, 740.0, 26.0
_PROBABILITIES = (1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_NARROWEST = 1e-6  # probabilities nearer to 0 or 1 are drawn here


@dataclass(frozen=True, slots=True)
class Sample:
    """An entry of a legend: the line or mark as it is drawn, and what it stands for."""

    picture: Markup
    words: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure: its SVG, what it shows in a sentence, and its legend."""

    svg: Markup
    finding: str
    legend: tuple[Sample, ...] = ()


def draw_roc(systems: Sequence[SystemResult]) -> Picture:
    """The ROC of every system over a logarithmic false-alarm axis, with intervals at 1% and 0.1%."""
    drawing, bottom = Drawing(760, 430), 376.0
    num_benign = max(system.metrics.num_benign for system in systems)
    floor = min(FPRS[-1], 1 / num_benign) / 2
    x, y = Scale(floor, 1, _LEFT, _RIGHT, is_log=True), Scale(0, 1, bottom, _TOP)
    drawing.draw_box(_LEFT, _TOP, x.place(1 / num_benign) - _LEFT, bottom - _TOP, "blind")
    _draw_percents(drawing, y)
    for exponent in range(-6, 1):
        if x.holds(10.0**exponent):
            place = x.place(10.0**exponent)
            drawing.draw_line(((place, bottom), (place, bottom + 5)), "axis")
            drawing.write(place, bottom + 20, name_fpr(10.0**exponent), "middle")
    drawing.draw_line(((_LEFT, bottom), (_RIGHT, bottom)), "axis")
    for fpr in FPRS:
        drawing.draw_line(((x.place(fpr), _TOP), (x.place(fpr), bottom)), "guide")
        drawing.write(x.place(fpr), _TOP - 8, name_fpr(fpr), "middle", "strong")
    drawing.write((_LEFT + _RIGHT) / 2, bottom + 42, "false alarms: share of benign requests flagged (log)", "middle")
    drawing.write_upwards(14, (_TOP + bottom) / 2, "extraction requests caught")
    for number, system in reversed(list(enumerate(systems))):
        colour = _class_of(number)
        drawing.draw_steps([(x.place(fpr), y.place(tpr)) for fpr, tpr in system.curves.roc], f"curve {colour}")
    for number, system in reversed(list(enumerate(systems))):
        colour = _class_of(number)
        for fpr in FPRS:
            tpr, place = system.metrics.at(fpr).tpr, x.place(fpr) + 9 * (number - (len(systems) - 1) / 2)
            drawing.draw_line(((place, y.place(tpr.low)), (place, y.place(tpr.high))), f"interval {colour}")
            drawing.draw_mark(place, y.place(tpr.value), SHAPES[number % len(SHAPES)], f"mark {colour}")
    finding = tell_roc(systems)
    legend = [
        Sample(_sample(number), f"{name_system(system.name)}, AUROC {system.metrics.auroc}")
        for number, system in enumerate(systems)
    ]
    return Picture(drawing.to_svg(f"ROC curves. {finding}"), finding, tuple(legend))


def draw_scores(evaluation: Evaluation) -> Picture:
    """How many records of either label the first system gave each score, with its thresholds."""
    drawing = Drawing(760, 430)
    first = evaluation.first
    decided = [record for record in evaluation.records if record.is_decided]
    given = np.array([record.scores[0] for record in decided])
    values = _spread(given) if first.has_probabilities else given
    is_extraction = np.array([record.label == "extraction" for record in decided])
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, max(high, low + 1e-6), _NUM_BINS + 1)
    x = Scale(low, float(edges[-1]), _LEFT, _RIGHT)
    panels = (("benign", ~is_extraction, 40.0, 196.0), ("extraction", is_extraction, 220.0, 376.0))
    most = max(int(np.histogram(values[rows], edges)[0].max()) for _, rows, _, _ in panels)
    for name, rows, top, bottom in panels:
        y = Scale(0.7, max(10, most), bottom, top, is_log=True)
        for exponent in range(7):
            if y.holds(10**exponent):
                drawing.draw_line(((_LEFT, y.place(10**exponent)), (_RIGHT, y.place(10**exponent))), "grid")
                drawing.write(_LEFT - 8, y.place(10**exponent) + 4, f"{10**exponent:,}", "end")
        for number, edge in zip(np.histogram(values[rows], edges)[0].tolist(), edges.tolist(), strict=False):
            if number:
                left, height = x.place(edge), bottom - y.place(number)
                drawing.draw_box(left + 0.5, bottom - height, (_RIGHT - _LEFT) / _NUM_BINS - 1, height, name)
        drawing.draw_line(((_LEFT, bottom), (_RIGHT, bottom)), "axis")
        drawing.write(_LEFT, top - 5, f"{name}: {count(int(rows.sum()), 'record')}", "start", "strong")
    anchors: tuple[Anchor, Anchor] = ("end", "start")  # the stricter threshold is never the lower one
    for point, anchor in zip(first.metrics.points, anchors, strict=False):
        place = x.place(float(_spread(np.array([point.threshold]))[0]) if first.has_probabilities else point.threshold)
        drawing.draw_line(((place, 22), (place, 376)), "limit")
        beside = min(place, _RIGHT - _THRESHOLD_WIDTH) if anchor == "start" else place
        drawing.write(beside, 15, f"{name_fpr(point.fpr)} at {point.threshold:.4g}", anchor)
    for place, words in _iter_ticks(x, is_probability=first.has_probabilities):
        drawing.draw_line(((place, 376), (place, 381)), "axis")
        drawing.write(place, 396, words, "middle")
    scale = "probability (logit scale)" if first.has_probabilities else "score"
    drawing.write((_LEFT + _RIGHT) / 2, 418, f"{scale}, {name_system(first.name)}", "middle")
    drawing.write_upwards(14, 208, "records (log)")
    finding = tell_scores(evaluation)
    return Picture(drawing.to_svg(f"Histograms of scores. {finding}"), finding)


def draw_reliability(system: SystemResult) -> Picture:
    """The share that is extraction over the probability that was said, in bins of equal mass."""
    drawing, bottom, right = Drawing(396, 380), 326.0, 372.0
    x, y = Scale(0, 1, _LEFT, right), Scale(0, 1, bottom, 18)
    _draw_percents(drawing, y, right)
    for share in (0, 0.25, 0.5, 0.75, 1):
        drawing.write(x.place(share), bottom + 20, f"{share:.0%}", "middle")
    drawing.draw_line(((x.place(0), y.place(0)), (x.place(1), y.place(1))), "guide")
    drawing.draw_line(((_LEFT, bottom), (right, bottom)), "axis")
    for each in system.curves.reliability:
        place, observed = x.place(each.probability), wilson(each.share * each.num_records, each.num_records)
        drawing.draw_line(((place, y.place(observed.low)), (place, y.place(observed.high))), "interval extraction")
        drawing.draw_mark(place, y.place(each.share), "circle", "mark extraction")
    drawing.write((_LEFT + right) / 2, bottom + 42, "probability that was said", "middle")
    drawing.write_upwards(14, (18 + bottom) / 2, "share that was extraction")
    finding = tell_reliability(system)
    return Picture(drawing.to_svg(f"Reliability plot. {finding}", "small"), finding)


def _draw_percents(drawing: Drawing, y: Scale, right: float = _RIGHT) -> None:
    for share in (0, 0.25, 0.5, 0.75, 1):
        drawing.draw_line(((_LEFT, y.place(share)), (right, y.place(share))), "grid")
        drawing.write(_LEFT - 8, y.place(share) + 4, f"{share:.0%}", "end")


def _class_of(number: int) -> str:
    return f"series-{number % NUM_SERIES + 1} dash-{number % len(SHAPES) + 1}"


def _sample(number: int) -> Markup:
    drawing = Drawing(44, 16)
    drawing.draw_line(((1, 8), (43, 8)), f"curve {_class_of(number)}")
    drawing.draw_mark(22, 8, SHAPES[number % len(SHAPES)], f"mark {_class_of(number)}")
    return drawing.to_ornament("sample")


def _spread(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities as logits, where both ends are seen."""
    held = np.clip(probabilities, _NARROWEST, 1 - _NARROWEST)
    return np.asarray(np.log(held / (1 - held)), dtype=np.float64)


def _iter_ticks(x: Scale, *, is_probability: bool) -> Iterator[tuple[float, str]]:
    ticks: Iterable[tuple[float, str]] = (
        [(float(_spread(np.array([p]))[0]), f"{100 * p:g}%") for p in _PROBABILITIES]
        if is_probability
        else [(float(v), f"{v:g}") for v in MaxNLocator(7).tick_values(x.low, x.high)]
    )
    last = -100.0
    for value, words in ticks:
        if x.holds(value) and x.place(value) - last > 46:
            last = x.place(value)
            yield last, words

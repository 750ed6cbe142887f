"""Charts of rates with intervals, a row for each slice, and each row opens to the records behind it.

A row shows the first system. Rates are at the thresholds of the whole: no slice has a threshold of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stillwatch.train.intervals import Interval
from stillwatch.train.suites.report_drawing import Anchor, Drawing, Scale
from stillwatch.train.suites.report_records import RecordTable
from stillwatch.train.suites.report_wording import count, count_families, join, name_fpr, reveal, tie
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import percent

MAX_SLICES = 40
"""Rows of a chart that are seen at once; the others stand in a fold below them."""

_WIDTH, _HEIGHT, _MARGIN = 260, 24, 10
_NAMED = 3  # slices that a finding names
_MANY = 20  # records of a slice that may stand for itself in a finding and on the scale


@dataclass(frozen=True, slots=True)
class Limit:
    """What a rate must not cross.

    Attributes:
        value: from 0 to 1.
        is_floor: whether rates must stay above it rather than below.
    """

    value: float
    is_floor: bool

    def is_broken(self, rate: float) -> bool:
        """Whether a rate stands on the wrong side."""
        return rate < self.value if self.is_floor else rate > self.value

    def judge(self, rate: Interval) -> str:
        """A rate against the limit, in a few words."""
        is_below = rate.value < self.value if self.is_floor else rate.value <= self.value
        told = f"{'below' if is_below else 'above'} {100 * self.value:g}%"
        return f"{told}, not surely" if self.is_broken(rate.low) != self.is_broken(rate.high) else told


@dataclass(frozen=True, slots=True)
class Rated:
    """A slice before it is drawn.

    Attributes:
        name: of the slice, as it came.
        note: more words on it, such as a strength.
        rates: at each of `summary.FPRS`.
        num_records: records behind it.
        num_families: families behind them.
        told: figures in words beside the rates, such as the rates before a change.
        table: the records.
    """

    name: str
    note: str
    rates: tuple[Interval, ...]
    num_records: int
    num_families: int
    told: str
    table: RecordTable


@dataclass(frozen=True, slots=True)
class Row:
    """A slice as it is drawn; `is_broken` tells that its limit is crossed."""

    name: str
    note: str
    figure: str
    strict: str
    told: str
    counts: str
    verdict: str
    is_broken: bool
    picture: Markup
    table: RecordTable


@dataclass(frozen=True, slots=True)
class Chart:
    """Slices side by side.

    Attributes:
        finding: what is seen, in a sentence.
        measure: what the rate is, such as `caught`.
        axis: the scale above the rows.
        rows: at most `MAX_SLICES`.
        more: the others.
    """

    finding: str
    measure: str
    axis: Markup
    rows: tuple[Row, ...]
    more: tuple[Row, ...]


def draw_chart(
    measure: str,
    slices: Sequence[Rated],
    *,
    kind: str,
    limit: Limit | None = None,
    whole: float | None = None,
    in_order: bool = False,
) -> Chart:
    """Draw slices as dots with intervals.

    Args:
        measure: what the rate is, such as `caught` or `falsely flagged`.
        slices: at least one.
        kind: `extraction`, `benign` or `guide`: the colour.
        limit: drawn as a line; slices that cross it are named in the finding.
        whole: the rate of all records, drawn as a line.
        in_order: whether the order means something; else the worst slice stands first.
    """
    upwards = -1 if limit is not None and not limit.is_floor else 1
    ordered = (
        list(slices)
        if in_order
        else sorted(slices, key=lambda each: (upwards * each.rates[0].value, -each.num_records, each.name))
    )
    scale = Scale(0, _top(slices, limit), _MARGIN, _WIDTH - _MARGIN)
    lines = [(limit.value, "limit")] if limit else []
    lines += [(whole, "guide")] if whole is not None else []
    rows = [_draw_row(each, scale, lines, kind, limit, whole, measure) for each in ordered]
    return Chart(
        finding=_tell(ordered, limit, measure),
        measure=measure,
        axis=_draw_axis(scale, limit, whole),
        rows=tuple(rows[:MAX_SLICES]),
        more=tuple(rows[MAX_SLICES:]),
    )


def _top(slices: Sequence[Rated], limit: Limit | None) -> float:
    """The end of the scale: slices of many records are on it; an arrow tells what goes beyond."""
    if limit is None:
        return 1.0
    largest = max(each.rates[0].value for each in [s for s in slices if s.num_records >= _MANY] or slices)
    if limit.is_floor:
        return max(1.0, min(1.5, largest * 1.1))
    return next((top for top in (0.1, 0.2, 0.5) if top >= max(2 * limit.value, 1.2 * largest)), 1.0)


def _draw_row(
    each: Rated,
    scale: Scale,
    lines: Sequence[tuple[float, str]],
    kind: str,
    limit: Limit | None,
    whole: float | None,
    measure: str,
) -> Row:
    drawing = Drawing(_WIDTH, _HEIGHT)
    for value, classes in lines:
        drawing.draw_line(((scale.place(value), 0), (scale.place(value), _HEIGHT)), classes)
    for number, rate in reversed(list(enumerate(each.rates))):
        y = 8 + 9 * number
        drawing.draw_line(((scale.place(rate.low), y), (scale.place(rate.high), y)), f"interval {kind}")
        if rate.high > scale.high:
            drawing.draw_mark(scale.end + 4, y, "right", f"arrow {kind}", 4)
        shape, fill = (("circle", "mark"), ("diamond", "hollow"))[min(number, 1)]
        if scale.holds(rate.value):
            drawing.draw_mark(scale.place(rate.value), y, shape, f"{fill} {kind}", 4.5 - 1.3 * number)
    loose, *strict = each.rates
    verdict = limit.judge(loose) if limit else _judge_against(loose, whole)
    finding = f"{measure} {percent(loose)}" + (f", {verdict}" if verdict else "")
    return Row(
        name=reveal(each.name),
        note=each.note,
        figure=tie(percent(loose)),
        strict=", ".join(f"{name_fpr(f)}: {tie(percent(r))}" for f, r in zip(FPRS[1:], strict, strict=False)),
        told=each.told,
        counts=f"{count(each.num_records, 'record')}, {count_families(each.num_families)}",
        verdict=verdict,
        is_broken=limit is not None and limit.is_broken(loose.value),
        picture=drawing.to_svg(finding, "row"),
        table=each.table,
    )


def _judge_against(rate: Interval, whole: float | None) -> str:
    if whole is None or rate.low <= whole <= rate.high:
        return ""
    return "below the whole" if rate.high < whole else "above the whole"


def _draw_axis(scale: Scale, limit: Limit | None, whole: float | None) -> Markup:
    drawing = Drawing(_WIDTH, 34)
    drawing.draw_line(((scale.start, 33), (scale.end, 33)), "axis")
    ends = {0.0, round(scale.high, 2)} if scale.high <= 1 else {0.0, 1.0}
    named = [(limit.value, f"limit {100 * limit.value:g}%", "limit")] if limit else []
    named += [(whole, f"whole {whole:.1%}", "guide")] if whole is not None else []
    for value in sorted(ends | {round(max(ends) / 2, 3)} - {value for value, _, _ in named}):
        drawing.draw_line(((scale.place(value), 29), (scale.place(value), 33)), "axis")
        anchor: Anchor = "start" if value == 0 else "end" if scale.place(value) > scale.end - 12 else "middle"
        drawing.write(scale.place(value), 26, f"{100 * value:g}%", anchor)
    for value, words, classes in named:
        place = scale.place(value)
        drawing.draw_line(((place, 28), (place, 34)), classes)
        anchor = "end" if place > _WIDTH - 50 else "start" if place < 50 else "middle"
        drawing.write(place, 11, words, anchor, "strong")
    return drawing.to_ornament("row")


def _tell(ordered: Sequence[Rated], limit: Limit | None, measure: str) -> str:
    """The finding of a chart: who crosses the limit, or who is lowest and highest."""
    by_rate = sorted(ordered, key=lambda each: each.rates[0].value)
    if limit is not None:
        return _tell_limit(by_rate if limit.is_floor else by_rate[::-1], limit)
    if len(by_rate) == 1:
        return f"{measure.capitalize()}: {_name(by_rate[0])}."
    if len(by_rate) > MAX_SLICES:
        none, every = (sum(each.rates[0].value == share for each in by_rate) for share in (0, 1))
        return f"Of {len(by_rate):,}, nothing is {measure} in {none:,} and everything in {every:,}."
    large = [each for each in by_rate if each.num_records >= _MANY]
    if 1 < len(large) < len(by_rate):
        return f"Lowest of {len(large)} with {_MANY} records or more: {_name(large[0])}; highest: {_name(large[-1])}."
    return f"Lowest of {len(by_rate)}: {_name(by_rate[0])}; highest: {_name(by_rate[-1])}."


def _tell_limit(worst_first: Sequence[Rated], limit: Limit) -> str:
    if len(worst_first) == 1:
        return f"{_name(worst_first[0])}: {limit.judge(worst_first[0].rates[0])}."
    named = f"{'below' if limit.is_floor else 'above'} {100 * limit.value:g}%"
    broken = [each for each in worst_first if limit.is_broken(each.rates[0].value)]
    if not broken:
        return f"None of {len(worst_first)} is {named}; nearest: {_name(worst_first[0])}."
    num_sure = sum(limit.is_broken(each.rates[0].low) and limit.is_broken(each.rates[0].high) for each in broken)
    shown = [_name(each) for each in broken[:_NAMED]]
    rest = [f"{len(broken) - _NAMED} more"] if len(broken) > _NAMED else []
    return (
        f"{len(broken)} of {len(worst_first)} {'is' if len(broken) == 1 else 'are'} {named}, {num_sure} with the whole "
        f"interval: {join([*shown, *rest])}."
    )


def _name(each: Rated) -> str:
    return f"{reveal(each.name)}{f' ({each.note})' if each.note else ''} {percent(each.rates[0])}"

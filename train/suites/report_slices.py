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
from stillwatch.train.suites.report_wording import count, count_families, join, name_fpr, reveal
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import percent

MAX_SLICES = 40
"""Rows of a chart that are seen at once; the others stand in a fold below them."""

_WIDTH, _HEIGHT, _MARGIN = 260, 24, 10


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
        name = f"{100 * self.value:g}%"
        if self.is_broken(rate.value):
            return f"{'below' if self.is_floor else 'above'} {name}"
        doubtful = self.is_broken(rate.low if self.is_floor else rate.high)
        return f"{'above' if self.is_floor else 'below'} {name}" + (", not surely" if doubtful else "")


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
        title: what is shown.
        finding: what is seen, in a sentence.
        measure: what the rate is, such as `caught`.
        axis: the scale above the rows.
        rows: at most `MAX_SLICES`.
        more: the others.
    """

    title: str
    finding: str
    measure: str
    axis: Markup
    rows: tuple[Row, ...]
    more: tuple[Row, ...]


def draw_chart(
    title: str,
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
        title: what is shown.
        measure: what the rate is, such as `caught` or `falsely flagged`.
        slices: at least one.
        kind: `extraction`, `benign` or `guide`: the colour.
        limit: drawn as a line; slices that cross it are named in the finding.
        whole: the rate of all records, drawn as a line.
        in_order: whether the order means something; else the worst slice stands first.
    """
    upwards = -1 if limit is not None and not limit.is_floor else 1
    ordered = list(slices) if in_order else sorted(slices, key=lambda s: (upwards * s.rates[0].value, s.name))
    scale = Scale(0, _top([s.rates[0] for s in slices], limit), _MARGIN, _WIDTH - _MARGIN)
    lines = [(limit.value, "limit")] if limit else []
    lines += [(whole, "guide")] if whole is not None else []
    rows = [_draw_row(each, scale, lines, kind, limit, whole, measure) for each in ordered]
    return Chart(
        title=title,
        finding=_tell(ordered, limit, measure),
        measure=measure,
        axis=_draw_axis(scale, limit, whole),
        rows=tuple(rows[:MAX_SLICES]),
        more=tuple(rows[MAX_SLICES:]),
    )


def _top(rates: Sequence[Interval], limit: Limit | None) -> float:
    """The end of the scale: all rates are on it, and of the intervals what does not squeeze them."""
    if limit is None or limit.is_floor:
        return max(1.0, min(1.5, max(rate.value for rate in rates) * 1.1))
    needed = max(2 * limit.value, 1.2 * max(rate.value for rate in rates))
    return next((top for top in (0.1, 0.2, 0.5) if top >= needed), 1.0)


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
        drawing.draw_mark(scale.place(rate.value), y, shape, f"{fill} {kind}", 4.5 - 1.3 * number)
    loose, *strict = each.rates
    verdict = limit.judge(loose) if limit else _judge_against(loose, whole)
    finding = f"{measure} {percent(loose)}" + (f", {verdict}" if verdict else "")
    return Row(
        name=reveal(each.name),
        note=each.note,
        figure=percent(loose),
        strict=", ".join(f"{name_fpr(f)}: {percent(r)}" for f, r in zip(FPRS[1:], strict, strict=False)),
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
    for value in sorted(ends | {round(max(ends) / 2, 3)}):
        drawing.draw_line(((scale.place(value), 29), (scale.place(value), 33)), "axis")
        anchor: Anchor = "start" if value == 0 else "end" if scale.place(value) > scale.end - 12 else "middle"
        drawing.write(scale.place(value), 26, f"{100 * value:g}%", anchor)
    named = [(limit.value, f"limit {100 * limit.value:g}%", "limit")] if limit else []
    named += [(whole, f"whole {whole:.1%}", "guide")] if whole is not None else []
    for value, words, classes in named:
        place = scale.place(value)
        drawing.draw_line(((place, 14), (place, 34)), classes)
        anchor = "end" if place > _WIDTH - 50 else "start" if place < 50 else "middle"
        drawing.write(place, 11, words, anchor, "strong")
    return drawing.to_ornament("row")


def _tell(ordered: Sequence[Rated], limit: Limit | None, measure: str) -> str:
    """The finding of a chart: who crosses the limit, or who is lowest and highest."""

    def name(each: Rated) -> str:
        return f"{reveal(each.name)}{f' ({each.note})' if each.note else ''} {percent(each.rates[0])}"

    by_rate = sorted(ordered, key=lambda each: each.rates[0].value)
    many = len(ordered) > 1
    if limit is not None:
        side = "below" if limit.is_floor else "above"
        broken = [each for each in by_rate if limit.is_broken(each.rates[0].value)]
        worst = by_rate[0] if limit.is_floor else by_rate[-1]
        if not broken:
            return f"None of {len(ordered)} is {side} {100 * limit.value:g}%; nearest: {name(worst)}."
        shown = broken[:3] if limit.is_floor else broken[::-1][:3]
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        verb = "is" if len(broken) == 1 else "are"
        listed = ", ".join(map(name, shown)) + more if more else join(map(name, shown))
        return f"{len(broken)} of {len(ordered)} {verb} {side} {100 * limit.value:g}%: {listed}."
    if not many:
        return f"{measure.capitalize()}: {name(ordered[0])}."
    return f"Lowest of {len(ordered)}: {name(by_rate[0])}; highest: {name(by_rate[-1])}."

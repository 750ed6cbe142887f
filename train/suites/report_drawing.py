"""Small pictures as SVG text that a style sheet colours: scales, lines, marks, and one sentence that says it all.

matplotlib writes colours and ids into its SVG; several of its pictures on one page collide, and none turns dark.
These take their colours from classes (`series-1`, `benign`), hold no ids, and escape every word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import log10
from typing import Literal

from markupsafe import Markup, escape

Anchor = Literal["start", "middle", "end"]

SHAPES = ("circle", "diamond", "square", "triangle")
"""Marks of compared systems, in order, so that they are told apart without colour."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Places values on a picture.

    Attributes:
        low: the value at `start`; above 0 on a logarithmic scale.
        high: the value at `end`.
        start: units of the picture.
        end: units of the picture; below `start` for a scale that rises upwards.
        is_log: whether equal ratios are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands; one outside the scale stands at its end."""
        held = min(max(value, self.low), self.high)
        share = (
            log10(held / self.low) / log10(self.high / self.low)
            if self.is_log
            else (held - self.low) / (self.high - self.low)
        )
        return round(self.start + share * (self.end - self.start), 2)

    def holds(self, value: float) -> bool:
        """Whether a value stands inside the scale."""
        return self.low <= value <= self.high


@dataclass(slots=True)
class Drawing:
    """A picture that is being drawn, `width` by `height` units; about 1 unit is 1 pixel at full width."""

    width: float
    height: float
    parts: list[Markup] = field(default_factory=list)

    def draw_line(self, points: Iterable[tuple[float, float]], classes: str) -> None:
        """A line through points."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(Markup('<path class="{}" d="{}"/>').format(classes, path))

    def draw_steps(self, points: Iterable[tuple[float, float]], classes: str) -> None:
        """A line that goes across to the next point first, then up or down to it."""
        path = ""
        for x, y in points:
            path += f"H{x:g}V{y:g}" if path else f"M{x:g} {y:g}"
        self.parts.append(Markup('<path class="{}" d="{}"/>').format(classes, path))

    def draw_box(self, left: float, top: float, width: float, height: float, classes: str) -> None:
        """A filled box."""
        self.parts.append(
            Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"/>').format(
                classes, left, top, width, height
            )
        )

    def draw_mark(self, x: float, y: float, shape: str, classes: str, size: float = 4.5) -> None:
        """A mark of one of `SHAPES`, or an arrow head `left` or `right` where something goes on."""
        if shape == "circle":
            self.parts.append(Markup('<circle class="{}" cx="{:g}" cy="{:g}" r="{:g}"/>').format(classes, x, y, size))
            return
        corners = {
            "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
            "square": ((-0.95, -0.95), (0.95, -0.95), (0.95, 0.95), (-0.95, 0.95)),
            "triangle": ((0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
            "right": ((1, 0), (-0.8, -0.9), (-0.8, 0.9)),
            "left": ((-1, 0), (0.8, -0.9), (0.8, 0.9)),
        }[shape]
        path = "M" + "L".join(f"{x + size * dx:.4g} {y + size * dy:.4g}" for dx, dy in corners) + "Z"
        self.parts.append(Markup('<path class="{}" d="{}"/>').format(classes, path))

    def write(self, x: float, y: float, words: str, anchor: Anchor = "start", classes: str = "") -> None:
        """Words that start, stand in the middle or end at `x`, on the line `y`."""
        self.parts.append(
            Markup('<text class="{}" x="{:g}" y="{:g}" text-anchor="{}">{}</text>').format(classes, x, y, anchor, words)
        )

    def write_upwards(self, x: float, y: float, words: str) -> None:
        """Words that read upwards, centred at a point: the name of a vertical axis."""
        self.parts.append(
            Markup('<text text-anchor="middle" transform="translate({:g} {:g}) rotate(-90)">{}</text>').format(
                x, y, words
            )
        )

    def to_svg(self, finding: str, classes: str = "") -> Markup:
        """The picture as an SVG element; `finding` is read out in its place."""
        opening = Markup('<svg role="img" aria-label="{}" class="{}" viewBox="0 0 {:g} {:g}">').format(
            finding, classes, self.width, self.height
        )
        return opening + Markup("").join(self.parts) + Markup("</svg>")

    def to_ornament(self, classes: str = "") -> Markup:
        """The picture as an SVG element that says nothing which words beside it do not say."""
        opening = Markup('<svg aria-hidden="true" class="{}" viewBox="0 0 {:g} {:g}">').format(
            escape(classes), self.width, self.height
        )
        return opening + Markup("").join(self.parts) + Markup("</svg>")

"""The times of one account: a given number of requests, spread over its rhythm by gamma renewal.

The count is kept exactly: `n + 1` gamma gaps, divided by their sum, are places in the weight of the rhythm's
stretches. Gaps are drawn a block at a time, so a stream of millions takes no memory and begins at once. Times are
rounded to milliseconds, which hides the last bit in which the mathematical libraries of two machines may differ.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import fsum

from stillwatch.data.chance import Chance
from stillwatch.data.streams.arrivals import WINDOW_S
from stillwatch.data.streams.rhythms import Rhythm, Segment

_FEW = 64  # so few times are kept as numbers: smaller than what it takes to draw them
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """How the volume of a whole campaign rises to its middle and falls again.

    Attributes:
        begin_s: Unix time at which the campaign begins.
        end_s: at which it ends.
        peak: volume at the middle over the mean, 1 (flat) to 2 (a triangle from and to nothing).
    """

    begin_s: float
    end_s: float
    peak: float

    def weigh(self, time_s: float) -> float:
        """Volume at a time over the mean."""
        place = (time_s - self.begin_s) / (self.end_s - self.begin_s)
        return 2.0 - self.peak + 2.0 * (self.peak - 1.0) * (1.0 - abs(2.0 * place - 1.0))


@dataclass(frozen=True, slots=True)
class Schedule:
    """When one account sends.

    Attributes:
        key: the seed's text; all chance comes from it.
        num_requests: how many, exactly; at least 1.
        begin_s: Unix time before which nothing is sent.
        end_s: after which nothing is sent.
        rhythm: when it is busy.
        envelope: the campaign's volume over time, or None.
    """

    key: str
    num_requests: int
    begin_s: float
    end_s: float
    rhythm: Rhythm
    envelope: Envelope | None = None

    def iter_times(self) -> Iterator[float]:
        """The times in order, Unix seconds in whole milliseconds."""
        times = self._iter_times(fsum(mass for _, _, mass in self._iter_segments()))
        return iter(array("d", times)) if self.num_requests <= _FEW else times

    def _iter_segments(self) -> Iterator[Segment]:
        chance = Chance(f"{self.key}/busy")
        none_yet = True
        for start, length, mass in self.rhythm.iter_segments(chance, self.begin_s, self.end_s, self.num_requests):
            factor = 1.0 if self.envelope is None else self.envelope.weigh(start + length / 2)
            if mass * factor > 0:
                none_yet = False
                yield start, length, mass * factor
        if none_yet:  # a rhythm so sparse that it missed this life: one window of it
            length = min(WINDOW_S, self.end_s - self.begin_s)
            yield self.begin_s + chance.random() * (self.end_s - self.begin_s - length), length, 1.0

    def _iter_places(self) -> Iterator[float]:
        """The places of the requests in a life of length 1.

        The sum of a block of gaps is a gamma draw itself, and independent of how the block divides it; so the
        blocks' sums are drawn first, and the gaps of one block when it is reached.
        """
        shape, num_gaps = 1.0 / self.rhythm.cv**2, self.num_requests + 1
        sizes = [min(_BLOCK, num_gaps - first) for first in range(0, num_gaps, _BLOCK)]
        sums = array("d", _draw_gammas(Chance(f"{self.key}/blocks"), [shape * size for size in sizes]))
        total, chance, place = fsum(sums), Chance(f"{self.key}/gaps"), 0.0
        for size, block in zip(sizes, sums, strict=True):
            gaps = array("d", _draw_gammas(chance, [shape] * size))
            unit = block / total / fsum(gaps)
            for gap in gaps:
                place += gap * unit
                yield place

    def _iter_times(self, mass: float) -> Iterator[float]:
        segments = self._iter_segments()
        start, length, weight = next(segments)
        before = 0.0
        for part in islice(self._iter_places(), self.num_requests):
            place = part * mass
            while place > before + weight:
                following = next(segments, None)
                if following is None:
                    break
                before += weight
                start, length, weight = following
            yield round(start + length * min(max((place - before) / weight, 0.0), 1.0), 3)


def _draw_gammas(chance: Chance, shapes: Iterable[float]) -> Iterator[float]:
    return (chance.gammavariate(shape, 1.0) + 1e-12 for shape in shapes)

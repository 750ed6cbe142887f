"""Two evaluations side by side: what differs beyond chance, and one sentence that says so.

Only records that one request decides are compared, and only evaluations of the same rows are. "Better" and "worse"
mean that the whole 95% interval of the difference lies on one side of zero; all else is "not told apart", which does
not mean "equal". The intervals are those of `stillwatch.train.suites.pairing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from stillwatch.data.errors import InputError
from stillwatch.train.intervals import NUM_REPLICATES, Interval
from stillwatch.train.suites.evaluation import Evaluation, ScoredRecord
from stillwatch.train.suites.pairing import AREAS, Difference, SliceDifference, compare_scores, name_tpr
from stillwatch.train.summary import FPRS

MAIN_FIGURE = name_tpr(FPRS[0])
"""The figure that a comparison is told by when nothing else is asked for."""

FIGURES = (*(name_tpr(fpr) for fpr in FPRS), *AREAS)
"""Every figure of a comparison, in the order of its table."""

TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    **{name_tpr(fpr): f"TPR at {100 * fpr:g}% FPR" for fpr in FPRS},
}
"""What a figure is called in words."""


class Standing(StrEnum):
    """How the second system stands to the first."""

    BETTER = "better"
    WORSE = "worse"
    NOT_TOLD_APART = "not told apart"


_STANDINGS = {1: Standing.BETTER, -1: Standing.WORSE, 0: Standing.NOT_TOLD_APART}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second system against the first, on the same records.

    Attributes:
        a: what the first is called.
        b: what the second is called.
        data: name of the rows.
        data_digest: SHA-256 of the rows.
        num_benign: benign records.
        num_benign_families: their families.
        num_extraction: extraction records that one request shows.
        num_extraction_families: their families.
        seed: of the bootstrap.
        num_replicates: bootstrap resamples.
        main_figure: the figure that `standing` and the sentence speak of first.
        figures: differences in the order of `FIGURES`.
        slices: TPR by technique, TPR and FPR by language, FPR by source.
    """

    a: str
    b: str
    data: str
    data_digest: str
    num_benign: int
    num_benign_families: int
    num_extraction: int
    num_extraction_families: int
    seed: int
    num_replicates: int
    main_figure: str
    figures: tuple[Difference, ...]
    slices: tuple[SliceDifference, ...]

    def figure(self, name: str) -> Difference:
        """The difference of one figure of `FIGURES`."""
        return next(each for each in self.figures if each.figure == name)

    def slices_of(self, dimension: str, *, is_extraction: bool, fpr: float) -> tuple[SliceDifference, ...]:
        """The groups of one dimension and label at one rate, by name."""
        return tuple(
            each
            for each in self.slices
            if (each.dimension, each.is_extraction, each.fpr) == (dimension, is_extraction, fpr)
        )

    @property
    def standing(self) -> Standing:
        """How the second stands to the first on the main figure."""
        return _STANDINGS[self.figure(self.main_figure).direction]

    @property
    def sentence(self) -> str:
        """Better, worse or not told apart: on which figure, by how much, over what."""
        main = self.figure(self.main_figure)
        stands = {
            Standing.BETTER: f"{self.b} is better than {self.a}",
            Standing.WORSE: f"{self.b} is worse than {self.a}",
            Standing.NOT_TOLD_APART: f"{self.b} and {self.a} are not told apart",
        }[self.standing]
        told = f"{tell_value(main.figure, main.b)} against {tell_value(main.figure, main.a)}"
        return (
            f"{stands} on {TITLES[main.figure]}: {told}, {tell_change(main.figure, main.change)}, over "
            f"{self.num_extraction:,} extraction records of {_count(self.num_extraction_families)} and "
            f"{self.num_benign:,} benign records of {_count(self.num_benign_families)}; {self._tell_others()}."
        )

    def _tell_others(self) -> str:
        told = []
        for direction, standing in _STANDINGS.items():
            names = [
                TITLES[each.figure]
                for each in self.figures
                if each.figure != self.main_figure and each.direction == direction
            ]
            if names:
                told.append(f"{standing} on {_join(names)}")
        return ", ".join(told)

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field, the standing and the sentence; intervals as `{low, value, high}`."""
        return {
            **asdict(self),
            "standing": self.standing.value,
            "sentence": self.sentence,
            "figures": [each.to_json() for each in self.figures],
            "slices": [each.to_json() for each in self.slices],
        }


def compare(
    a: Evaluation,
    b: Evaluation,
    *,
    system_a: str | None = None,
    system_b: str | None = None,
    names: tuple[str, str] | None = None,
    main_figure: str = MAIN_FIGURE,
    seed: int | None = None,
    num_replicates: int = NUM_REPLICATES,
) -> Comparison:
    """Compare a system of one evaluation with a system of another, or of the same one.

    Args:
        a: the evaluation of the first system.
        b: the evaluation of the second, of the same rows.
        system_a: which system of `a`; its first when left out.
        system_b: which system of `b`; its first when left out.
        names: what the two are called; their own names when left out.
        main_figure: one of `FIGURES`.
        seed: of the bootstrap; that of `a` when left out.
        num_replicates: bootstrap resamples.

    Raises:
        InputError: the rows differ, a label is missing, or a system or figure is unknown.
    """
    if main_figure not in FIGURES:
        raise InputError("main_figure", "an unknown figure", f"give one of {', '.join(FIGURES)}")
    pairs = _pair_records(a, b)
    first = a.first if system_a is None else a.system(system_a)
    second = b.first if system_b is None else b.system(system_b)
    place_a, place_b = a.systems.index(first), b.systems.index(second)
    rows = [row for row, _ in pairs]
    labels = [int(row.label == "extraction") for row in rows]
    used_seed = a.seed if seed is None else seed
    figures, slices = compare_scores(
        labels,
        [row.scores[place_a] for row in rows],
        [row.scores[place_b] for _, row in pairs],
        [row.family for row in rows],
        {
            "technique": [row.technique for row in rows],
            "language": [row.language for row in rows],
            "source": [row.source if row.label == "benign" else None for row in rows],
        },
        seed=used_seed,
        num_replicates=num_replicates,
    )
    benign, extraction = (
        [row for row, label in zip(rows, labels, strict=True) if label == wanted] for wanted in (0, 1)
    )
    called = names or (first.name, second.name)
    return Comparison(
        a=called[0],
        b=called[1],
        data=a.data.name,
        data_digest=a.data.digest,
        num_benign=len(benign),
        num_benign_families=len({row.family for row in benign}),
        num_extraction=len(extraction),
        num_extraction_families=len({row.family for row in extraction}),
        seed=used_seed,
        num_replicates=num_replicates,
        main_figure=main_figure,
        figures=tuple(sorted(figures, key=lambda each: FIGURES.index(each.figure))),
        slices=slices,
    )


def tell_value(figure: str, value: float) -> str:
    """A rate as percent, an area as it is: `43.2%`, `0.912`."""
    return f"{value:.3f}" if figure in AREAS else f"{value:.1%}"


def tell_change(figure: str, change: Interval) -> str:
    """A difference with its interval: `+4.2 points [+1.0, +7.5]`, `+0.012 [-0.003, +0.020]`."""
    if figure in AREAS:
        return f"{_signed(change.value, 3)} [{_signed(change.low, 3)}, {_signed(change.high, 3)}]"
    value, low, high = (_signed(100 * each, 1) for each in (change.value, change.low, change.high))
    return f"{value} points [{low}, {high}]"


def _signed(value: float, num_digits: int) -> str:
    """With its sign, and no sign at zero."""
    text = f"{value:+.{num_digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _count(num_families: int) -> str:
    return f"{num_families:,} {'family' if num_families == 1 else 'families'}"


def _join(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _pair_records(a: Evaluation, b: Evaluation) -> list[tuple[ScoredRecord, ScoredRecord]]:
    """Decided records of both, in the order of the first.

    Raises:
        InputError: the rows are not the same.
    """
    of_b = {row.id: row for row in b.records}
    pairs = [(row, of_b[row.id]) for row in a.records if row.id in of_b]
    if a.data.digest != b.data.digest or len(pairs) != max(len(a.records), len(b.records)):
        raise InputError(
            "data",
            f"two evaluations of different rows: {len(a.records)} and {len(b.records)}, of which {len(pairs)} have "
            "the same id",
            "evaluate both on the same rows, such as `stillwatch evaluate --model A --data ROWS` and B on the same",
        )
    return [pair for pair in pairs if pair[0].is_decided]

"""A table in a terminal shows every system and every figure, however narrow the terminal is."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.train.intervals import Interval
from stillwatch.train.results import Results, measure
from stillwatch.train.tables import percent, print_results

SOURCE = "a-source/[with]-brackets-and-a-name-that-is-rather-long"
NAMES = ("Stillwatch", "TF-IDF + LR", "frozen encoder + LR", "bundle-1.2+0123456789ab")


@pytest.fixture(scope="module")
def results() -> Results:
    rng = np.random.default_rng(0)
    labels = [*[Label.BENIGN, Label.EXTRACTION] * 60, Label.AMBIGUOUS]
    records = [
        LabelledRequest(
            Request((Message(Role.USER, "x"),), id=str(number)),
            label,
            f"family-{number % 12}",
            SOURCE,
            Technique.INSTRUCTION_HARVESTING if label is Label.EXTRACTION else None,
            Visibility.REQUEST if label is Label.EXTRACTION else None,
        )
        for number, label in enumerate(labels)
    ]
    is_extraction = np.array([label is Label.EXTRACTION for label in labels])
    systems = ("stillwatch", "tfidf", "frozen_encoder", NAMES[3])
    return measure(
        records,
        {name: rng.normal(size=len(labels)) + gap * is_extraction for gap, name in enumerate(systems, 1)},
        technique_guesses=["instruction_harvesting"] * len(labels),
        seed=1,
        num_replicates=50,
    )


def printed(results: Results, width: int, *slices: str) -> str:
    file = StringIO()
    print_results(Console(width=width, file=file), results, slices=slices)
    return file.getvalue()


def column(text: str, number: int) -> str:
    """The text of a column of the first table, however many lines its cells take."""
    rows = [line.split("│") for line in text.splitlines() if line.startswith("│")]
    return "".join(cells[number].strip() for cells in rows)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_every_system_is_named_whole(results: Results, width: int) -> None:
    assert column(printed(results, width), 1).replace(" ", "") == "".join(NAMES).replace(" ", "")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_every_figure_is_printed_whole(results: Results, width: int) -> None:
    text = printed(results, width)
    assert "…" not in text
    for place, told in (
        (2, [str(metrics.auroc) for metrics in results.systems.values()]),
        (3, [percent(metrics.at(0.01).tpr) for metrics in results.systems.values()]),
        (4, [percent(metrics.at(0.001).tpr) for metrics in results.systems.values()]),
        (5, [f"{results.mean_over_folds(name, 0.01):.1%}" for name in results.systems]),
        (6, [f"{results.mean_over_folds(name, 0.001):.1%}" for name in results.systems]),
    ):
        assert column(text, place).replace(" ", "") == "".join(told).replace(" ", "")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_figure_and_its_interval_stay_on_one_line_each(results: Results, width: int) -> None:
    text = printed(results, width)
    for metrics in results.systems.values():
        for told in (str(metrics.auroc), percent(metrics.at(0.01).tpr)):
            assert all(part in text for part in told.replace(" [", "\n[").split("\n"))


@pytest.mark.parametrize("width", [80, 100, 160])
def test_a_slice_keeps_its_name_and_its_rates(results: Results, width: int) -> None:
    text = printed(results, width, "source")
    for what, is_extraction in (("caught (TPR)", True), ("falsely flagged (FPR)", False)):
        table = text[text.index(f"By source: {what}") :]
        assert column(table.split("└")[0], 1) == SOURCE
        assert all(percent(r.rate) in table for r in results.slices["source"] if r.is_extraction is is_extraction)


def test_only_the_slices_asked_for_are_printed(results: Results) -> None:
    assert "By source" not in printed(results, 100, "technique")
    assert "By technique" in printed(results, 100, "technique")


def test_data_behind_the_figures_and_what_stands_beside_them_is_told(results: Results) -> None:
    text = printed(results, 160)
    assert "60 extraction records of 6 families, 60 benign of 6; 1 fold; 95% intervals" in text
    assert f"Aside, 1 records ambiguous: {percent(results.aside[0].rate)} at the 1.0% threshold" in text
    assert "Technique named rightly: instruction_harvesting 100%" in text


def test_a_rate_is_told_as_percent_with_its_interval() -> None:
    assert percent(Interval(0.58, 0.652, 0.72)) == "65.2% [58, 72]"

"""The card of a bundle says what it learnt from, under which licences, and what it reached."""

from __future__ import annotations

import numpy as np
import pytest

from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.calibration import Calibration
from stillwatch.train.calibrate import Reliability
from stillwatch.train.card import write_card
from stillwatch.train.config import BundleConfig, ModelConfig, SourceConfig, TrainConfig
from stillwatch.train.intervals import Interval
from stillwatch.train.results import Results, measure
from stillwatch.train.tables import percent


def record(number: int, label: Label, source: str, licence: str) -> LabelledRequest:
    is_extraction = label is Label.EXTRACTION
    return LabelledRequest(
        Request((Message(Role.USER, "zanzibar"),), id=str(number)),
        label,
        f"{label.value}-{number % 6}",
        source,
        Technique.CODING_ANALYSIS if is_extraction else None,
        Visibility.REQUEST if is_extraction else None,
        license=licence,
    )


RECORDS = [
    *(record(n, Label.EXTRACTION, "first", "MIT") for n in range(40)),
    *(record(n, Label.BENIGN, "first", "CC0-1.0") for n in range(3)),
    *(record(n, Label.BENIGN, "second", "") for n in range(37)),
]
CALIBRATION = Calibration(
    slope=1.0,
    intercept=0.0,
    review_logit=0.0,
    flag_logit=3.0,
    review_fpr=0.02,
    flag_fpr=0.005,
    num_benign=321,
    num_extraction=123,
)


@pytest.fixture(scope="module")
def results() -> Results:
    rng = np.random.default_rng(0)
    gap = np.array([record.is_extraction for record in RECORDS])
    return measure(
        RECORDS,
        {name: rng.normal(size=len(RECORDS)) + gap for name in ("stillwatch", "tfidf")},
        seed=1,
        num_replicates=50,
    )


RELIABILITY = Reliability(
    labels=np.array([0, 1] * 20),
    probabilities=np.array([0.1, 0.9] * 20),
    ece=Interval(0.01, 0.0214, 0.05),
    brier=Interval(0.02, 0.0436, 0.07),
    num_families=18,
)


def card(
    results: Results,
    bundle: BundleConfig,
    calibration: Calibration = CALIBRATION,
    reliability: Reliability | None = RELIABILITY,
) -> str:
    config = TrainConfig(
        name="trial",
        sources=(SourceConfig(kind="authored"),),
        model=ModelConfig(encoder="some/encoder"),
        bundle=bundle,
    )
    return write_card(config, RECORDS, results, calibration, reliability)


def test_every_source_stands_with_its_records_families_and_licence(results: Results) -> None:
    lines = card(results, BundleConfig()).splitlines()
    assert "| first | extraction | 40 | 6 | MIT |" in lines
    assert "| first | benign | 3 | 3 | CC0-1.0 |" in lines
    assert "| second | benign | 37 | 6 | not stated |" in lines


def test_every_system_stands_with_its_figures(results: Results) -> None:
    lines = card(results, BundleConfig()).splitlines()
    for name, key in (("Stillwatch", "stillwatch"), ("TF-IDF + LR", "tfidf")):
        metrics = results.systems[key]
        rates = " | ".join(percent(metrics.at(fpr).tpr) for fpr in (0.01, 0.001))
        assert f"| {name} | {metrics.auroc} | {rates} |" in lines


def test_figures_say_how_much_data_and_how_many_folds_stand_behind_them(results: Results) -> None:
    told = card(results, BundleConfig())
    assert "40 extraction requests of 6 families and 40 benign ones of 6" in told
    assert "in 1 fold(s)" in told
    assert "- coding_analysis: " in told


def test_a_bundle_fitted_on_everything_says_that_it_was_itself_not_measured(results: Results) -> None:
    assert "it was itself tested on none" in card(results, BundleConfig(train_on="all"))
    assert "is the one measured here" in card(results, BundleConfig(train_on="fold"))


def test_thresholds_stand_with_what_they_rest_on(results: Results) -> None:
    told = card(results, BundleConfig())
    assert "321 benign and 123 extraction requests" in told
    assert "`review` from probability 0.500 (2.0% of those benign)" in told
    assert "`flag` from 0.9526 (0.5%)" in told


def test_a_probability_fitted_on_tested_requests_is_told_by_families_left_out(results: Results) -> None:
    told = card(results, BundleConfig(), CALIBRATION.model_copy(update={"fitted_on": "test"}))
    assert "by Platt scaling on the 321 benign and 123 extraction requests tested above" in told
    assert "Told of each of those 18 families by a fit on all the others, its calibration error is 0.021" in told
    assert "| 10.0% | 0.0% | 20 |" in told
    assert "on which these rates hold by construction" in told


def test_a_probability_of_validation_families_is_told_by_the_tested_ones(results: Results) -> None:
    told = card(results, BundleConfig())
    assert "requests of validation families. On the 18 families tested above" in told
    assert "by construction" not in told


def test_a_probability_that_could_not_be_measured_says_so(results: Results) -> None:
    assert "Too few families" in card(results, BundleConfig(), reliability=None)


def test_the_card_names_its_bundle_and_encoder_and_no_text_of_a_request(results: Results) -> None:
    told = card(results, BundleConfig(name="my-bundle"))
    assert told.startswith("# Model card: my-bundle\n")
    assert "`some/encoder`" in told
    assert "zanzibar" not in told

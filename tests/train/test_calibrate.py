from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from stillwatch.data.labels import TECHNIQUES, Label, Role, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.calibration import Action, sigmoid
from stillwatch.model.reference import PROBABILITY_EDGES
from stillwatch.train.calibrate import fit_calibration, measure_reliability, tally_benign
from stillwatch.train.metrics import brier, expected_calibration_error

Logits = NDArray[np.float64]


def draw(num_benign: int, num_extraction: int, gap: float, seed: int = 0) -> tuple[list[LabelledRequest], Logits]:
    """Records of four families a label, with logits that lie `gap` apart on average."""
    rng = np.random.default_rng(seed)
    labels = [Label.BENIGN] * num_benign + [Label.EXTRACTION] * num_extraction
    records = [
        LabelledRequest(
            Request((Message(Role.USER, "x"),), id=str(i)),
            label,
            f"{label}-{i % 4}",
            "test",
            TECHNIQUES[0] if label is Label.EXTRACTION else None,
            Visibility.REQUEST if label is Label.EXTRACTION else None,
        )
        for i, label in enumerate(labels)
    ]
    return records, rng.normal(0, 1, len(labels)) + gap * np.array([label is Label.EXTRACTION for label in labels])


def test_thresholds_let_no_more_benign_requests_through_than_promised() -> None:
    records, logits = draw(2000, 500, 2.0)
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    actions = [calibration.decide(calibration.calibrate(logit)) for logit in logits[:2000]]
    assert actions.count(Action.FLAG) == 2
    assert actions.count(Action.REVIEW) + actions.count(Action.FLAG) == 20
    assert (calibration.num_benign, calibration.num_extraction) == (2000, 500)
    assert (calibration.review_fpr, calibration.flag_fpr) == (0.01, 0.001)


def test_the_reference_of_a_training_holds_its_benign_requests_and_says_whose_they_are() -> None:
    records, logits = draw(200, 100, 2.0)
    records[0] = replace(records[0], label=Label.AMBIGUOUS)
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    mixes = np.tile([0.5, 0.5, *[0.0] * (len(TECHNIQUES) - 2)], (len(records), 1))
    mixes[200:] = mixes[200:, ::-1]
    reference = tally_benign(records, logits, mixes, calibration)
    assert reference is not None
    assert (reference.source, reference.num_requests) == ("training", 199)
    assert reference.techniques == (0.5, 0.5, *[0.0] * (len(TECHNIQUES) - 2))
    unsure = np.mean(calibration.slope * logits[1:200] + calibration.intercept < 0)
    assert sum(reference.scores[: PROBABILITY_EDGES.index(0.5) + 1]) == pytest.approx(unsure)


def test_with_too_few_benign_requests_none_of_them_is_flagged() -> None:
    records, logits = draw(50, 50, 1.0)
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    assert calibration.flag_logit >= calibration.review_logit > calibration.calibrate(float(logits[:50].max()))


def test_probabilities_are_those_of_even_odds_whatever_the_mixture() -> None:
    for num_benign, num_extraction in ((4000, 4000), (8000, 800), (800, 8000)):
        records, logits = draw(num_benign, num_extraction, 2.0)
        calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
        assert calibration.slope == pytest.approx(2.0, rel=0.15)  # two unit normals, two apart: the truth is 2x - 2
        assert sigmoid(calibration.calibrate(1.0)) == pytest.approx(0.5, abs=0.06)


def test_a_family_of_many_records_weighs_no_more_than_a_small_one() -> None:
    records, logits = draw(400, 400, 2.0)
    big = [i for i, record in enumerate(records) if record.family == "extraction-0"]
    repeated = records + [records[i] for i in big] * 20
    once = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    many = fit_calibration(repeated, np.append(logits, np.tile(logits[big], 20)), review_fpr=0.01, flag_fpr=0.001)
    assert (many.slope, many.intercept) == pytest.approx((once.slope, once.intercept), rel=0.02)


def test_a_model_worse_than_chance_does_not_turn_the_order_round() -> None:
    records, logits = draw(200, 200, -3.0)
    assert fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001).slope > 0


@pytest.mark.parametrize(
    ("num_benign", "fpr", "allowed"), [(99, 0.01, 0), (100, 0.01, 1), (199, 0.01, 1), (40, 0.3, 12)]
)
def test_a_threshold_holds_at_most_the_whole_number_below_its_share(num_benign: int, fpr: float, allowed: int) -> None:
    records, logits = draw(num_benign, 60, 1.0)
    calibration = fit_calibration(records, logits, review_fpr=fpr, flag_fpr=fpr)
    benign = [calibration.calibrate(float(logit)) for logit in logits[:num_benign]]
    assert sum(calibrated >= calibration.review_logit for calibrated in benign) == allowed
    assert calibration.flag_logit == calibration.review_logit


def test_benign_requests_of_equal_score_all_pass_or_none() -> None:
    records, logits = draw(100, 50, 2.0)
    logits[:5] = 9.0  # five share the highest score, where one may be let through
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    assert calibration.decide(calibration.calibrate(9.0)) is Action.ALLOW


def test_a_model_worse_than_chance_keeps_the_order_of_its_scores() -> None:
    records, logits = draw(200, 200, -3.0)
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    calibrated = [calibration.calibrate(logit) for logit in sorted(logits.tolist())]
    assert calibrated == sorted(set(calibrated))
    assert sum(one >= calibration.review_logit for one in map(calibration.calibrate, logits[:200].tolist())) <= 2


def test_requests_that_one_request_does_not_decide_calibrate_nothing() -> None:
    records, logits = draw(200, 200, 2.0)
    stream_only = [replace(record, visibility=Visibility.STREAM) for record in records[200:300]]
    mixed, mixed_logits = records + stream_only, np.append(logits, np.full(100, -9.0))
    alone = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001, fitted_on="test")
    assert fit_calibration(mixed, mixed_logits, review_fpr=0.01, flag_fpr=0.001, fitted_on="test") == alone
    assert measure_reliability(mixed, mixed_logits, alone, seed=1, num_replicates=20) is not None


def test_a_probability_that_holds_for_every_family_is_told_to_hold() -> None:
    records, logits = draw(2000, 2000, 2.0)
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001, fitted_on="test")
    found = measure_reliability(records, logits, calibration, seed=1, num_replicates=50)
    assert found is not None
    assert found.ece.value < 0.03
    assert found.brier.low <= found.brier.value <= found.brier.high
    assert found.num_families == 8


def test_each_family_is_told_by_a_calibration_that_has_not_seen_it() -> None:
    """Three families lie far up and one far down: fitted on all, the one is allowed for; by the others it is not."""
    records, logits = draw(800, 800, 4.0)
    odd = np.array([record.family == "extraction-0" for record in records])
    logits[odd] -= 4.0
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001, fitted_on="test")
    found = measure_reliability(records, logits, calibration, seed=1, num_replicates=20)
    assert found is not None
    others = [record for record, is_odd in zip(records, odd, strict=True) if not is_odd]
    strict = fit_calibration(others, logits[~odd], review_fpr=0.01, flag_fpr=0.001)
    assert found.probabilities[odd] == pytest.approx([sigmoid(strict.calibrate(x)) for x in logits[odd].tolist()])
    in_sample = 1 / (1 + np.exp(-(calibration.slope * logits + calibration.intercept)))
    assert brier(found.labels, found.probabilities) > brier(found.labels, in_sample) + 0.02
    assert found.brier.value == pytest.approx(brier(found.labels, found.probabilities))
    assert found.ece.value == pytest.approx(expected_calibration_error(found.labels, found.probabilities))


def test_a_calibration_of_validation_requests_is_measured_as_it_is() -> None:
    records, logits = draw(400, 400, 2.0)
    calibration = fit_calibration(records, logits, review_fpr=0.01, flag_fpr=0.001)
    tested, tested_logits = draw(300, 300, 2.0, seed=5)
    found = measure_reliability(tested, tested_logits, calibration, seed=1, num_replicates=20)
    assert found is not None
    said = [sigmoid(calibration.calibrate(logit)) for logit in tested_logits.tolist()]
    assert found.probabilities == pytest.approx(said)
    assert found.to_metrics()["calibration/ece"] == found.ece.value


def test_a_single_family_of_a_label_leaves_nothing_to_tell() -> None:
    records, logits = draw(40, 40, 2.0)
    alone = [replace(record, family="one") if record.is_extraction else record for record in records]
    calibration = fit_calibration(alone, logits, review_fpr=0.01, flag_fpr=0.001, fitted_on="test")
    assert measure_reliability(alone, logits, calibration, seed=1) is None

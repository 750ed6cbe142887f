from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stillwatch.model.calibration import Action, Calibration, sigmoid

NUMBERS: dict[str, float] = {
    "slope": 1.5,
    "intercept": -0.25,
    "review_logit": 1.0,
    "flag_logit": 3.0,
    "review_fpr": 0.01,
    "flag_fpr": 0.001,
    "num_benign": 100,
    "num_extraction": 100,
}
logits = st.floats(-60, 60)


@given(lower=logits, higher=logits, slope=st.floats(1e-3, 50), intercept=st.floats(-20, 20))
def test_calibration_keeps_the_order_of_requests(lower: float, higher: float, slope: float, intercept: float) -> None:
    calibration = Calibration.model_validate({**NUMBERS, "slope": slope, "intercept": intercept})
    lower, higher = sorted((lower, higher))
    assert calibration.calibrate(lower) <= calibration.calibrate(higher)
    assert sigmoid(calibration.calibrate(lower)) <= sigmoid(calibration.calibrate(higher))
    order = [Action.ALLOW, Action.REVIEW, Action.FLAG]
    actions = [calibration.decide(calibration.calibrate(logit)) for logit in (lower, higher)]
    assert order.index(actions[0]) <= order.index(actions[1])


@pytest.mark.parametrize(
    ("calibrated", "action"),
    [(0.999, Action.ALLOW), (1.0, Action.REVIEW), (2.999, Action.REVIEW), (3.0, Action.FLAG)],
)
def test_a_threshold_itself_is_reached(calibrated: float, action: Action) -> None:
    assert Calibration.model_validate(NUMBERS).decide(calibrated) is action


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slope", 0.0),
        ("slope", -1.0),
        ("slope", math.nan),
        ("intercept", math.inf),
        ("review_logit", math.nan),
        ("flag_logit", -math.inf),
        ("flag_logit", 0.5),
        ("review_fpr", 0.0),
        ("flag_fpr", 1.0),
        ("num_benign", 0),
        ("num_extraction", 0),
        ("prior", 0.0),
        ("prior", 1.0),
        ("temperature", 1.0),
    ],
)
def test_numbers_that_calibrate_nothing_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate({**NUMBERS, field: value})


@given(logit=st.floats(-1e6, 1e6))
def test_probabilities_stay_between_0_and_1_and_mirror(logit: float) -> None:
    assert 0.0 <= sigmoid(logit) <= 1.0
    assert sigmoid(logit) + sigmoid(-logit) == pytest.approx(1.0)


def test_a_calibration_survives_its_file_to_the_last_digit() -> None:
    calibration = Calibration.model_validate({**NUMBERS, "slope": 1 / 3, "flag_logit": math.nextafter(2.0, 3.0)})
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration

"""A reference holds shares and what they rest on; it is part of a calibration, and older calibrations have none."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import CALIBRATION, DEFAULT_BUNDLE
from stillwatch.model.calibration import Calibration
from stillwatch.model.reference import PROBABILITY_EDGES, TrafficReference, TrafficTally, mark_bin

MIX = [1.0, *[0.0] * (len(TECHNIQUES) - 1)]
OTHER_MIX = MIX[::-1]


def test_a_bin_begins_at_its_lower_edge_and_both_ends_have_one() -> None:
    places = [int(mark_bin(p).argmax()) for p in (0.0, PROBABILITY_EDGES[0], 0.5, PROBABILITY_EDGES[-1], 1.0)]
    assert places == [0, 1, PROBABILITY_EDGES.index(0.5) + 1, len(PROBABILITY_EDGES), len(PROBABILITY_EDGES)]
    assert mark_bin(0.42).sum() == 1.0


def test_a_tally_becomes_shares_with_their_number_and_source() -> None:
    tally = TrafficTally()
    assert tally.build_reference("calibrate") is None
    for probability, mix in ((0.001, MIX), (0.002, MIX), (0.995, MIX), (0.4, OTHER_MIX)):
        tally.add(probability, mix)
    reference = tally.build_reference("calibrate")
    assert reference is not None
    assert (reference.source, reference.num_requests, reference.edges) == ("calibrate", 4, PROBABILITY_EDGES)
    assert (reference.scores[0], reference.scores[-1], sum(reference.scores)) == (0.5, 0.25, 1.0)
    assert (reference.techniques[0], reference.techniques[-1]) == (0.75, 0.25)


def test_a_calibration_keeps_its_reference_and_one_of_an_earlier_release_has_none() -> None:
    before = json.loads((DEFAULT_BUNDLE / CALIBRATION).read_text())
    before.pop("reference", None)
    calibration = Calibration.model_validate(before)
    assert calibration.reference is None
    tally = TrafficTally()
    tally.add(0.5, MIX)
    told = calibration.model_copy(update={"reference": tally.build_reference("training")})
    assert Calibration.model_validate_json(told.model_dump_json()) == told


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "elsewhere"},
        {"num_requests": 0},
        {"scores": (1.0,)},
        {"scores": (2.0, -1.0, *[0.0] * (len(PROBABILITY_EDGES) - 1))},
        {"techniques": (0.5,) * len(TECHNIQUES)},
        {"accounts": 3},
    ],
)
def test_what_are_no_shares_is_refused(wrong: dict[str, object]) -> None:
    tally = TrafficTally()
    tally.add(0.5, MIX)
    reference = tally.build_reference("calibrate")
    assert reference is not None
    with pytest.raises(ValidationError):
        TrafficReference.model_validate(reference.model_dump() | wrong)

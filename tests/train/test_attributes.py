from __future__ import annotations

import numpy as np
import pytest

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.labels import Label, Role
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.logits import RequestLogits
from stillwatch.train.attributes import MIN_FAMILIES, MIN_NAMED, AttributeLogits, fit_attribute_logits

NAMES = ("batch", "exemplars")


def draw(num_records: int, gap: float, seed: int = 0, num_families: int = 20) -> AttributeLogits:
    """Records that have either attribute in one case of four, with logits that lie `gap` apart on average."""
    rng = np.random.default_rng(seed)
    truth = rng.random((num_records, len(NAMES))) < 0.25
    families = tuple(f"f{i % num_families}" for i in range(num_records))
    return AttributeLogits(NAMES, rng.normal(0, 1, truth.shape) + gap * truth, truth, families)


def test_four_of_five_that_are_named_have_the_attribute_and_no_lower_threshold_would_do() -> None:
    drawn = draw(4000, 2.0)
    thresholds = fit_attribute_logits([drawn])
    assert list(thresholds) == list(NAMES)
    for column, name in enumerate(NAMES):
        named = drawn.logits[:, column] >= thresholds[name]
        assert drawn.truth[named, column].mean() >= 0.8
        lower = drawn.logits[:, column] >= thresholds[name] - 0.2
        assert drawn.truth[lower, column].mean() < 0.8


def test_the_promise_holds_on_other_records_too() -> None:
    thresholds, other = fit_attribute_logits([draw(4000, 2.0)]), draw(4000, 2.0, seed=1)
    for column, name in enumerate(NAMES):
        named = other.logits[:, column] >= thresholds[name]
        assert other.truth[named, column].mean() == pytest.approx(0.8, abs=0.05)


def test_an_attribute_that_cannot_be_told_is_never_named() -> None:
    assert fit_attribute_logits([draw(4000, 0.0)]) == {}


def test_what_was_seen_too_rarely_or_in_too_few_families_is_never_named() -> None:
    assert fit_attribute_logits([draw(MIN_NAMED - 1, 50.0)]) == {}
    assert fit_attribute_logits([draw(4000, 50.0, num_families=MIN_FAMILIES - 1)]) == {}
    assert list(fit_attribute_logits([draw(4000, 50.0, num_families=MIN_FAMILIES)])) == list(NAMES)


def test_equal_logits_are_named_together_or_not_at_all() -> None:
    truth = np.array([[True, True]] * 30 + [[False, False]] * 30)
    logits = np.array([[1.0, 1.0]] * 60)
    assert fit_attribute_logits([AttributeLogits(NAMES, logits, truth, tuple(map(str, range(60))))]) == {}


def test_only_records_whose_attributes_are_known_count_and_folds_count_together() -> None:
    records = [
        LabelledRequest(Request((Message(Role.USER, "x"),), id=str(i)), Label.BENIGN, f"f{i}", "test", attributes=a)
        for i, a in enumerate([("batch",), (), ("exemplars", "asks_code")])
    ]
    width = len(ATTRIBUTES)
    logits = [
        RequestLogits(0.0, np.zeros(5, np.float32), np.full(width, i, np.float32), np.zeros(3, np.float32), 0)
        for i in range(3)
    ]
    found = AttributeLogits.collect(list(ATTRIBUTES), records, logits)
    assert found.families == ("f0", "f2")
    assert found.logits[:, 0].tolist() == [0.0, 2.0]
    named = [[name for name, has in zip(ATTRIBUTES, row, strict=True) if has] for row in found.truth]
    assert [set(row) for row in named] == [{"batch"}, {"exemplars", "asks_code"}]
    nothing = AttributeLogits.collect((), records, logits)
    assert fit_attribute_logits([nothing, nothing]) == {}
    half = draw(2000, 2.0)
    assert list(fit_attribute_logits([half, draw(2000, 2.0, seed=2)])) == list(NAMES)

"""Promises of the shortcut audit and of the balance that takes shortcuts away."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from stillwatch.data.audit import audit_surface
from stillwatch.data.balance import thin_to_balance, weigh
from stillwatch.data.errors import AuditError, SourceError
from stillwatch.data.generator import generate
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.surface import FEATURES, measure_surface, tabulate_surface


def record(number: int, *, extraction: bool, words: int, lang: str = "en") -> LabelledRequest:
    text = " ".join(["word"] * words) + ("?" if number % 3 == 0 else ".")
    return LabelledRequest(
        Request((Message(Role.USER, text),), id=f"r/{number}"),
        label=Label.EXTRACTION if extraction else Label.BENIGN,
        family=f"theme{number % 2}.f{number % 7}",
        source="s",
        technique=Technique.CODING_ANALYSIS if extraction else None,
        visibility=Visibility.REQUEST if extraction else None,
        lang=lang,
    )


def skewed(count: int = 1200) -> list[LabelledRequest]:
    """Extraction is longer and more often German; the lengths overlap."""
    rng = Random(5)
    records = []
    for number in range(count):
        extraction = number % 2 == 1
        words = rng.randint(20, 120) if extraction else rng.randint(5, 80)
        lang = "de" if rng.random() < (0.5 if extraction else 0.2) else "en"
        records.append(record(number, extraction=extraction, words=words, lang=lang))
    return records


def test_the_audit_names_the_features_that_tell_the_labels_apart() -> None:
    audit = audit_surface(skewed())
    strengths = {feature.feature: feature.auc for feature in audit.features}
    assert audit.worst.feature.startswith("characters")
    assert strengths["characters"] == pytest.approx(0.78, abs=0.04)
    assert strengths["language de"] == pytest.approx(0.65, abs=0.04)
    assert strengths["tools offered"] == 0.5
    assert (audit.num_extraction, audit.num_benign) == (600, 600)


def test_a_dataset_past_the_limit_is_refused_with_the_features_named() -> None:
    audit = audit_surface(skewed())
    audit.require(0.9)
    with pytest.raises(AuditError, match=r"beyond AUC 0\.6: characters"):
        audit.require(0.6)


def test_weights_leave_no_feature_that_tells() -> None:
    records = skewed()
    weights = weigh(records)
    assert weights.min() > 0
    assert audit_surface(records, weights).worst.strength < 0.52
    for side in (True, False):
        assert weights[[r.is_extraction is side for r in records]].mean() == pytest.approx(1)


def test_thinning_leaves_whole_records_in_their_order_and_no_feature_that_tells() -> None:
    records = skewed(4000)
    kept = thin_to_balance(records, seed=1)
    assert audit_surface(kept).worst.strength < 0.56
    assert len(kept) > len(records) / 4
    places = {each.id: place for place, each in enumerate(records)}
    assert [places[each.id] for each in kept] == sorted(places[each.id] for each in kept)
    assert kept == thin_to_balance(records, seed=1)
    assert kept != thin_to_balance(records, seed=2)


def test_undecided_records_are_neither_weighed_nor_thinned() -> None:
    records = skewed()
    aside = [replace(records[1], visibility=Visibility.STREAM), replace(records[0], label=Label.AMBIGUOUS)]
    assert weigh([*records, *aside])[-2:].tolist() == [1, 1]
    assert [each for each in thin_to_balance([*records, *aside], seed=1) if not each.is_decided] == aside


def test_one_label_alone_cannot_be_audited() -> None:
    with pytest.raises(SourceError, match="one label only"):
        audit_surface([each for each in skewed(40) if each.is_extraction])


def test_a_group_with_one_label_keeps_its_records() -> None:
    records = [each for each in skewed(200) if not each.is_extraction]
    assert weigh(records).tolist() == [1.0] * len(records)


def test_every_feature_has_a_name_and_a_language_its_column() -> None:
    records = skewed(50)
    assert len(measure_surface(records[0].request)) == len(FEATURES)
    names, table = tabulate_surface(records)
    assert names[-2:] == ("language de", "language en")
    assert table.shape == (50, len(names))
    assert np.isfinite(table).all()


def test_the_shipped_generator_gives_no_label_away_by_its_surface() -> None:
    records = list(generate(num_requests=4000, seed=11))
    assert audit_surface(thin_to_balance(records, seed=11)).worst.strength <= 0.6

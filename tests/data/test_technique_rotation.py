"""A technique is held out whole: nothing of it, and nothing bound to it, is learnt from."""

from __future__ import annotations

from random import Random
from string import ascii_lowercase

import pytest

from stillwatch.data.errors import SplitError
from stillwatch.data.folds import check_fold
from stillwatch.data.labels import TECHNIQUES, Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.rotations import Rotation, rotate_techniques


def record(number: int, family: str, technique: Technique | None, source: str, text: str | None) -> LabelledRequest:
    rng = Random(number)
    words = " ".join("".join(rng.choices(ascii_lowercase, k=7)) for _ in range(12))
    return LabelledRequest(
        Request((Message(Role.USER, text or words),), id=f"row-{number}"),
        Label.BENIGN if technique is None else Label.EXTRACTION,
        family,
        source,
        technique,
        None if technique is None else Visibility.REQUEST,
    )


def make_records(num_techniques: int = 3, num_benign: int = 12) -> list[LabelledRequest]:
    """Four families of each technique, two of them for training alone, and benign ones; two records each."""
    records: list[LabelledRequest] = []
    for technique in TECHNIQUES[:num_techniques]:
        for family in range(4):
            source = "rows" if family < 2 else "ours"
            for _ in range(2):
                records.append(record(len(records), f"{technique.value}-{family}", technique, source, None))
    for family in range(num_benign):
        records += [record(len(records) + n, f"benign-{family}", None, "rows", None) for n in range(2)]
    return records


def rotate(records: list[LabelledRequest]) -> Rotation:
    return rotate_techniques(records, seed=3, validation_share=0.25, always_train=frozenset({"ours"}))


def test_each_technique_is_tested_once_and_by_all_of_its_records() -> None:
    records = make_records()
    folds = rotate(records).folds
    assert [fold.name for fold in folds] == [f"without-{technique.value}" for technique in TECHNIQUES[:3]]
    for fold, technique in zip(folds, TECHNIQUES, strict=False):
        tested = {i for i in fold.test if records[i].is_extraction}
        assert tested == {i for i, r in enumerate(records) if r.technique is technique and r.source == "rows"}


def test_nothing_of_the_technique_is_learnt_from_not_even_from_sources_that_only_train() -> None:
    records = make_records()
    for fold, technique in zip(rotate(records).folds, TECHNIQUES, strict=False):
        learnt = {records[i].technique for i in (*fold.train, *fold.validation)}
        assert technique not in learnt
        assert learnt == {None, *TECHNIQUES[:3]} - {technique}
        assert {i for i, r in enumerate(records) if r.technique is technique and r.source == "ours"} <= set(
            fold.dropped
        )


def test_every_benign_family_is_tested_in_one_fold() -> None:
    records = make_records()
    tested = [records[i].family for fold in rotate(records).folds for i in fold.test if not records[i].is_extraction]
    assert sorted(tested) == sorted(r.family for r in records if not r.is_extraction)


def test_no_fold_leaks_and_all_sides_have_both_labels() -> None:
    records = make_records()
    for fold in rotate(records).folds:
        check_fold(records, fold)
        for side in fold.sides.values():
            assert {records[i].is_extraction for i in side} == {True, False}


def test_what_is_bound_to_a_tested_record_is_dropped() -> None:
    """One family with two techniques, and a near-duplicate in another technique's family."""
    records = make_records()
    text = " ".join("".join(Random(number).choices(ascii_lowercase, k=7)) for number in range(100, 160))
    records.append(record(90, f"{TECHNIQUES[0].value}-0", TECHNIQUES[1], "rows", None))
    records.append(record(91, f"{TECHNIQUES[0].value}-1", TECHNIQUES[0], "rows", text))
    records.append(record(92, f"{TECHNIQUES[2].value}-1", TECHNIQUES[2], "rows", text + " and an end"))
    first = rotate(records).folds[0]
    check_fold(records, first)
    assert {len(records) - 3, len(records) - 1} <= set(first.dropped)


def test_the_same_seed_gives_the_same_folds() -> None:
    assert rotate(make_records()) == rotate(make_records())


@pytest.mark.parametrize(
    ("num_techniques", "num_benign", "told"),
    [(1, 12, "technique: 1 to hold out"), (3, 2, "benign families: 2 untied groups for 3 techniques")],
)
def test_too_few_to_hold_out_are_refused(num_techniques: int, num_benign: int, told: str) -> None:
    with pytest.raises(SplitError, match=told):
        rotate(make_records(num_techniques, num_benign))

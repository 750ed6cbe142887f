"""Families take turns at the test, and no family, session or near-duplicate ever stands on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.data.bonds import BondKind
from stillwatch.data.errors import ConfigError, SplitError
from stillwatch.data.folds import Fold, check_fold
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.rotations import Rotation, rotate_families


def record(
    number: int,
    family: str,
    label: Label,
    *,
    source: str = "s",
    session: str | None = None,
) -> LabelledRequest:
    is_extraction = label is Label.EXTRACTION
    return LabelledRequest(
        request=Request((Message(Role.USER, f"{family} {number}"),), id=f"{source}/{number}"),
        label=label,
        family=family,
        source=source,
        technique=Technique.CODING_ANALYSIS if is_extraction else None,
        visibility=Visibility.REQUEST if is_extraction else None,
        session=session,
    )


def families(num_each: int, rows: int = 3) -> list[LabelledRequest]:
    """Rows of `num_each` families of either label: e0, e1, ..., b0, b1, ..."""
    names = [(f"e{n}", Label.EXTRACTION) for n in range(num_each)]
    names += [(f"b{n}", Label.BENIGN) for n in range(num_each)]
    return [record(10 * place + row, name, label) for place, (name, label) in enumerate(names) for row in range(rows)]


def rotate(
    records: Sequence[LabelledRequest],
    pairs: Sequence[tuple[int, int]] = (),
    *,
    num_folds: int = 3,
    seed: int = 0,
    always_train: frozenset[str] = frozenset(),
) -> Rotation:
    return rotate_families(
        records, num_folds=num_folds, seed=seed, validation_share=0.2, always_train=always_train, pairs=pairs
    )


def side_of(fold: Fold, index: int) -> str:
    (side,) = [name for name, indices in fold.sides.items() if index in indices]
    return side


def test_every_record_is_tested_once_and_every_side_has_both_labels() -> None:
    records = families(7)
    rotation = rotate(records)
    assert sorted(index for fold in rotation.folds for index in fold.test) == list(range(len(records)))
    for fold in rotation.folds:
        assert sorted(sum(fold.sides.values(), ())) == list(range(len(records)))
        for side in fold.sides.values():
            assert {records[index].label for index in side} == {Label.EXTRACTION, Label.BENIGN}


def test_tests_have_about_equally_many_families_of_each_label() -> None:
    records = families(10)
    for fold in rotate(records, num_folds=4).folds:
        for label in (Label.EXTRACTION, Label.BENIGN):
            assert len({records[i].family for i in fold.test if records[i].label is label}) in (2, 3)


def test_validation_has_two_families_of_each_label_where_there_are_enough() -> None:
    records = families(9)
    for fold in rotate(records).folds:
        names = {records[index].family for index in fold.validation}
        assert sum(name.startswith("e") for name in names) == 2
        assert sum(name.startswith("b") for name in names) == 2


def test_equal_seeds_give_equal_folds_and_others_do_not() -> None:
    records = families(8)
    assert rotate(records, seed=3) == rotate(records, seed=3)
    assert rotate(records, seed=3) != rotate(records, seed=4)


def test_a_near_duplicate_ties_two_families_and_is_reported() -> None:
    records = families(6)
    first, second = 0, 20  # of e0 and b0
    rotation = rotate(records, [(first, second), (1, 19)])
    assert all(side_of(fold, first) == side_of(fold, second) for fold in rotation.folds)
    (tie,) = rotation.ties
    assert tie.families == (records[first].family, records[second].family)
    assert (tie.kind, tie.count) == (BondKind.DUPLICATE, 2)
    assert str(tie) == "family e0 tied with b0: 2 near-duplicate groups, such as of s/0 and s/62"


def test_a_shared_session_ties_two_families_of_one_source_only() -> None:
    records = families(6)
    for index in (0, 18):
        records[index] = replace(records[index], session="run-1")
    (tie,) = rotate(records).ties
    assert tie.kind is BondKind.SESSION
    records[18] = replace(records[18], source="another")
    assert rotate(records).ties == ()


def test_sources_for_training_only_never_validate_or_test() -> None:
    records = [*families(6), record(1, "own", Label.BENIGN, source="authored")]
    last = len(records) - 1
    for fold in rotate(records, always_train=frozenset({"authored"})).folds:
        assert side_of(fold, last) == "train"


def test_training_records_like_a_held_out_one_are_dropped_and_tie_nothing() -> None:
    records = [
        *families(6),
        record(1, "own", Label.BENIGN, source="authored"),
        record(2, "e1", Label.BENIGN, source="authored"),
    ]
    like, same_family = len(records) - 2, len(records) - 1
    pairs = [(0, like)]
    rotation = rotate(records, pairs, always_train=frozenset({"authored"}))
    assert rotation.ties == ()
    for fold in rotation.folds:
        assert (like in fold.dropped) == (0 not in fold.train)
        assert (like in fold.train) == (0 in fold.train)
        assert (same_family in fold.dropped) == (3 not in fold.train)
        check_fold(records, fold, pairs=pairs)


def test_families_alike_through_a_training_record_go_together() -> None:
    records = [*families(6), record(1, "own", Label.BENIGN, source="authored")]
    last = len(records) - 1
    rotation = rotate(records, [(0, last), (20, last)], always_train=frozenset({"authored"}))
    assert all(side_of(fold, 0) == side_of(fold, 20) for fold in rotation.folds)


def test_ambiguous_records_stand_in_one_test_and_nowhere_else() -> None:
    records = [*families(6), record(1, "runs", Label.AMBIGUOUS), record(2, "e0", Label.AMBIGUOUS)]
    folds = rotate(records).folds
    for index in (len(records) - 1, len(records) - 2):
        assert sum(index in fold.test for fold in folds) == 1
        assert not any(index in fold.train or index in fold.validation for fold in folds)


def test_too_few_families_are_refused_with_their_number() -> None:
    with pytest.raises(SplitError, match=r"3 extraction families in 3 untied groups .* 4 folds"):
        rotate(families(3), num_folds=4)
    with pytest.raises(SplitError, match="too few to train and to validate"):
        rotate(families(2), num_folds=2)


def test_ties_that_leave_too_few_groups_are_refused() -> None:
    records = families(4)
    pairs = [(0, 3), (3, 6), (6, 9)]
    with pytest.raises(SplitError, match="4 extraction families in 1 untied groups"):
        rotate(records, pairs, num_folds=2)


@pytest.mark.parametrize(("num_folds", "share"), [(1, 0.2), (2, 0.0), (2, 1.0)])
def test_a_rotation_out_of_range_is_refused(num_folds: int, share: float) -> None:
    with pytest.raises(ConfigError, match="choose"):
        rotate_families(families(4), num_folds=num_folds, seed=0, validation_share=share, pairs=())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 44), st.integers(0, 44)), max_size=5),
    st.dictionaries(st.integers(0, 44), st.sampled_from(["x", "y"]), max_size=4),
    st.sets(st.integers(36, 44), max_size=5),
    st.integers(0, 100),
)
def test_a_family_never_stands_on_two_sides(
    pairs: list[tuple[int, int]], sessions: dict[int, str], authored: set[int], seed: int
) -> None:
    records = [
        replace(item, session=sessions.get(index), source="authored" if index in authored else "s")
        for index, item in enumerate([*families(7), *(record(500 + n, "runs", Label.AMBIGUOUS) for n in range(3))])
    ]
    try:
        rotation = rotate(records, pairs, num_folds=2, seed=seed, always_train=frozenset({"authored"}))
    except SplitError:
        return
    for fold in rotation.folds:
        check_fold(records, fold, pairs=pairs)
        held = {*fold.validation, *fold.test}
        assert not {records[index].family for index in fold.train} & {records[index].family for index in held}
        assert not authored & held
        bound = [(first, second) for first in sessions for second in sessions if sessions[first] == sessions[second]]
        within = [(first, second) for first, second in bound if records[first].source == records[second].source]
        for first, second in [*pairs, *within]:
            assert not ({first, second} & set(fold.train) and {first, second} & held)

"""Named families are held out and families with attributes set aside whole; a fold that leaks does not pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stillwatch.data.bonds import find_pairs
from stillwatch.data.errors import SplitError
from stillwatch.data.folds import Fold, check_fold
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.rotations import rotate_families
from stillwatch.data.splits import hold_out, set_aside


def record(
    number: int,
    family: str,
    label: Label,
    *,
    text: str | None = None,
    source: str = "s",
) -> LabelledRequest:
    is_extraction = label is Label.EXTRACTION
    return LabelledRequest(
        request=Request((Message(Role.USER, text or f"{family} {number}"),), id=f"{source}/{number}"),
        label=label,
        family=family,
        source=source,
        technique=Technique.CODING_ANALYSIS if is_extraction else None,
        visibility=Visibility.REQUEST if is_extraction else None,
    )


def families(num_each: int, rows: int = 3) -> list[LabelledRequest]:
    """Rows of `num_each` families of either label: e0, e1, ..., b0, b1, ..."""
    names = [(f"e{n}", Label.EXTRACTION) for n in range(num_each)]
    names += [(f"b{n}", Label.BENIGN) for n in range(num_each)]
    return [record(10 * place + row, name, label) for place, (name, label) in enumerate(names) for row in range(rows)]


def make_fold(
    records: Sequence[LabelledRequest],
    pairs: Sequence[tuple[int, int]] = (),
    *,
    always_train: frozenset[str] = frozenset(),
) -> Fold:
    """The first fold of a rotation."""
    rotation = rotate_families(
        records, num_folds=3, seed=0, validation_share=0.2, always_train=always_train, pairs=pairs
    )
    return rotation.folds[0]


def test_named_families_are_held_out() -> None:
    records = families(4)
    fold = hold_out(
        records, test_families=frozenset({"e0", "b0"}), validation_families=frozenset({"e1", "b1"}), pairs=()
    )
    assert {records[index].family for index in fold.test} == {"e0", "b0"}
    assert {records[index].family for index in fold.validation} == {"e1", "b1"}
    assert len(fold.train) == 12


def test_unknown_and_twice_named_families_are_refused() -> None:
    records = families(4)
    with pytest.raises(SplitError, match="families: nowhere not among"):
        hold_out(records, test_families=frozenset({"e0", "nowhere"}), validation_families=frozenset())
    with pytest.raises(SplitError, match="families: e0 named for validation and test"):
        hold_out(records, test_families=frozenset({"e0"}), validation_families=frozenset({"e0"}))


def test_a_hold_out_that_leaks_names_the_records() -> None:
    records = families(4)
    with pytest.raises(SplitError) as caught:
        hold_out(
            records, test_families=frozenset({"e0"}), validation_families=frozenset(), pairs=[(0, 5), (1, 4), (2, 6)]
        )
    assert "one near-duplicate group in train (s/12) and test (s/0)" in str(caught.value)
    assert "e1 2" not in str(caught.value)  # the text of s/12


@pytest.mark.parametrize(
    ("train", "test", "fragment"),
    [
        ((0, 1), (2, 12), "one family in train"),
        ((0, 3), (6, 12), "one session in train"),
        ((9, 4), (7, 12), "one near-duplicate group in train"),
        ((0, 15), (12, 22), "ambiguous records beside the test"),
        ((0, 99), (12,), "indices beyond"),
    ],
)
def test_a_fold_that_leaks_does_not_pass(train: tuple[int, ...], test: tuple[int, ...], fragment: str) -> None:
    records = families(4)
    records[3] = replace(records[3], session="a")
    records[6] = replace(records[6], session="a")
    records[15] = replace(records[15], label=Label.AMBIGUOUS)
    with pytest.raises(SplitError, match=fragment):
        check_fold(records, Fold("broken", train, (), test), pairs=[(4, 7)])


def test_near_duplicates_are_found_where_no_pairs_are_given() -> None:
    records = families(4)
    text = "one long enough question about the very same broken bicycle chain"
    records[0] = record(0, "e0", Label.EXTRACTION, text=text)
    records[20] = record(20, "b2", Label.BENIGN, text=text + "!")
    assert (0, 20) in find_pairs(records)
    with pytest.raises(SplitError, match="near-duplicate"):
        check_fold(records, Fold("broken", (0,), (), (20,)))


def test_whole_families_with_attributes_are_set_aside_and_nothing_bound_to_them_trains() -> None:
    ours = [
        replace(record(200 + 10 * n + row, f"o{n}", Label.BENIGN, source="ours"), attributes=("batch",))
        for n in range(10)
        for row in range(3)
    ]
    records = [*families(7), *ours]
    pairs = [(42 + i, 42 + 3 + i) for i in (0, 6, 12)]  # o0 like o1, o2 like o3, o4 like o5
    fold = make_fold(records, pairs, always_train=frozenset({"ours"}))
    thinner = set_aside(records, fold, share=0.3, seed=1, pairs=pairs)
    assert len({records[i].family for i in thinner.aside}) == 3
    assert {records[i].source for i in thinner.aside} == {"ours"}
    assert {*thinner.train, *thinner.aside} == {*fold.train}
    check_fold(records, thinner, pairs=pairs)
    assert set_aside(records, fold, share=0.3, seed=1, pairs=pairs) == thinner
    assert len({set_aside(records, fold, share=0.3, seed=seed, pairs=pairs).aside for seed in range(5)}) > 1


def test_records_bound_to_what_is_set_aside_are_left_out_of_training() -> None:
    ours = [replace(record(200, "o", Label.BENIGN, source="ours"), attributes=("batch",))]
    ours.append(record(201, "o", Label.BENIGN, source="ours"))  # of the family, but nobody named its attributes
    records = [*families(7), *ours]
    fold = set_aside(records, make_fold(records, always_train=frozenset({"ours"})), share=0.3, seed=1, pairs=[])
    assert (fold.aside, fold.dropped) == ((42,), (43,))


def test_nothing_is_set_aside_where_validation_knows_attributes_or_nobody_does() -> None:
    records = families(7)
    fold = make_fold(records)
    assert set_aside(records, fold, share=0.3, seed=1, pairs=[]) == fold
    records = [replace(each, attributes=("batch",)) for each in records]
    assert set_aside(records, fold, share=0.3, seed=1, pairs=[]) == fold

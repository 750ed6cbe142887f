from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.labels import TECHNIQUES, Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.losses import NO_TECHNIQUE
from stillwatch.model.windows import Windows
from stillwatch.train.examples import Examples, WindowCollator
from stillwatch.train.sampling import FamilySampler, SourceShare


def record(label: Label, family: str, number: int, technique: Technique | None = None) -> LabelledRequest:
    request = Request((Message(Role.USER, "x"),), id=f"{family}-{number}")
    visibility = Visibility.REQUEST if label is Label.EXTRACTION else None
    return LabelledRequest(request, label, family, "test", technique, visibility)


def windows(*lengths: int) -> Windows:
    ids = tuple(tuple(range(length)) for length in lengths)
    return Windows(ids, sum(lengths), sum(lengths))


def unbalanced() -> Examples:
    """900 benign records of 2 families, 100 of extraction: 90 of one family, 10 of another."""
    records = [record(Label.BENIGN, f"b{i % 2}", i) for i in range(900)]
    records += [record(Label.EXTRACTION, "big" if i < 90 else "small", i, TECHNIQUES[1]) for i in range(100)]
    return Examples(records, [windows(1 + i % 30) for i in range(1000)])


def sampler(examples: Examples, *, balance: float = 0.5, num_draws: int = 4000, batch: int = 16) -> FamilySampler:
    return FamilySampler(examples, num_draws=num_draws, family_balance=balance, batch_size=batch, seed=3)


@pytest.mark.parametrize(("balance", "share_of_small"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_labels_are_drawn_evenly_and_families_as_evenly_as_asked(balance: float, share_of_small: float) -> None:
    examples = unbalanced()
    draws = [examples.records[i] for i in sampler(examples, balance=balance)]
    extraction = [r for r in draws if r.is_extraction]
    assert len(draws) == 4000
    assert len(extraction) / len(draws) == pytest.approx(0.5, abs=0.03)
    small = Counter(r.family for r in extraction)["small"]
    assert small / len(extraction) == pytest.approx(share_of_small, abs=0.04)


def test_draws_depend_on_seed_and_epoch_alone() -> None:
    examples = unbalanced()
    first, second = sampler(examples), sampler(examples)
    torch.manual_seed(1)
    epoch_0 = list(first)
    torch.manual_seed(2)
    assert list(second) == epoch_0
    assert list(second) == epoch_0
    second.set_epoch(1)
    assert list(second) != epoch_0
    other = FamilySampler(examples, num_draws=4000, family_balance=0.5, batch_size=16, seed=4)
    assert list(other) != epoch_0


def test_a_batch_holds_requests_of_like_length_and_every_draw_is_kept() -> None:
    examples = unbalanced()
    drawn = list(sampler(examples, num_draws=1000))
    assert len(drawn) == len(sampler(examples, num_draws=1000)) == 1000
    lengths = [len(examples.windows[i].ids[0]) for i in drawn]
    batches = [lengths[i : i + 16] for i in range(0, 992, 16)]
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 5
    assert [min(batch) for batch in batches] != sorted(min(batch) for batch in batches)


def test_records_of_one_label_alone_can_be_drawn() -> None:
    examples = Examples([record(Label.BENIGN, "b", i) for i in range(5)], [windows(3)] * 5)
    assert set(sampler(examples, num_draws=200)) == set(range(5))


def test_an_example_tells_label_and_technique() -> None:
    records = [
        record(Label.EXTRACTION, "e", 0, Technique.CODING_ANALYSIS),
        record(Label.EXTRACTION, "e", 1),
        record(Label.BENIGN, "b", 2),
    ]
    examples = Examples(records, [windows(3)] * 3)
    assert [(examples[i]["label"], examples[i]["technique"]) for i in range(3)] == [
        (1, TECHNIQUES.index(Technique.CODING_ANALYSIS)),
        (1, NO_TECHNIQUE),
        (0, NO_TECHNIQUE),
    ]


@pytest.mark.parametrize("max_windows", [2, 3, 5])
def test_a_draw_of_windows_keeps_first_and_last_in_order(max_windows: int) -> None:
    examples = Examples([record(Label.BENIGN, "b", 0)], [windows(*range(1, 11))], max_windows)
    seen: set[int] = set()
    for _ in range(200):
        lengths = [len(ids) for ids in examples[0]["windows"]]
        assert len(lengths) == max_windows
        assert (lengths[0], lengths[-1]) == (1, 10)
        assert lengths == sorted(set(lengths))
        seen |= set(lengths)
    assert seen == (set(range(1, 11)) if max_windows > 2 else {1, 10})


def test_a_single_window_may_come_from_anywhere() -> None:
    examples = Examples([record(Label.BENIGN, "b", 0)], [windows(*range(1, 11))], 1)
    assert {len(examples[0]["windows"][0]) for _ in range(300)} == set(range(1, 11))


@pytest.mark.parametrize("max_windows", [None, 3, 4])
def test_a_request_that_fits_is_read_whole(max_windows: int | None) -> None:
    examples = Examples([record(Label.BENIGN, "b", 0)], [windows(4, 5, 6)], max_windows)
    assert [len(ids) for ids in examples[0]["windows"]] == [4, 5, 6]


def test_a_batch_is_padded_no_more_than_it_needs() -> None:
    examples = Examples(
        [record(Label.EXTRACTION, "e", 0, TECHNIQUES[2]), record(Label.BENIGN, "b", 1)], [windows(4), windows(2, 6)]
    )
    batch = WindowCollator(pad_id=9)([examples[0], examples[1]])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 2, 6)
    assert batch["input_ids"][0].tolist() == [[0, 1, 2, 3, 9, 9], [9] * 6]
    assert batch["attention_mask"].sum(-1).tolist() == [[4, 0], [2, 6]]
    assert batch["labels"].tolist() == [1, 0]
    assert batch["techniques"].tolist() == [2, NO_TECHNIQUE]


def test_attributes_are_told_apart_from_their_absence_and_from_silence() -> None:
    said = replace(record(Label.BENIGN, "b", 1), attributes=("batch",))
    example = Examples([said], [windows(3)])[0]
    assert dict(zip(ATTRIBUTES, example["attributes"], strict=True)) == {
        name: float(name == "batch") for name in ATTRIBUTES
    }
    silent = Examples([record(Label.BENIGN, "b", 2)], [windows(3)])[0]
    assert all(math.isnan(value) for value in silent["attributes"])


def test_a_record_is_drawn_in_proportion_to_its_weight() -> None:
    examples = Examples([record(Label.BENIGN, "b", i) for i in range(4)], [windows(3)] * 4)
    weights = np.array([1.0, 1.0, 0.0, 2.0])
    draws = Counter(
        FamilySampler(examples, num_draws=4000, family_balance=0.5, batch_size=16, seed=3, record_weights=weights)
    )
    assert draws[2] == 0
    assert draws[3] / 4000 == pytest.approx(0.5, abs=0.03)


def test_long_requests_are_drawn_more_often_where_asked() -> None:
    examples = Examples([record(Label.BENIGN, "b", i) for i in range(4)], [windows(3)] * 3 + [windows(3, 3, 3)])
    draws = Counter(
        FamilySampler(examples, num_draws=4000, family_balance=0.5, batch_size=16, seed=3, window_balance=1.0)
    )
    assert draws[3] / 4000 == pytest.approx(0.5, abs=0.03)


def test_draws_of_a_label_are_dealt_to_sources_by_their_shares() -> None:
    records = [replace(record(Label.BENIGN, f"b{i % 3}", i), source="ours" if i < 10 else "real") for i in range(100)]
    records += [replace(record(Label.EXTRACTION, "e", i), source="ours") for i in range(20)]
    examples = Examples(records, [windows(3)] * len(records))
    shares = (SourceShare(frozenset({"ours"}), 4.0), SourceShare(frozenset({"real", "elsewhere"}), 1.0))
    drawn = FamilySampler(
        examples, num_draws=4000, family_balance=0.5, batch_size=16, seed=3, shares=shares, window_balance=0.5
    )
    counts = Counter((records[i].label, records[i].source) for i in drawn)
    assert counts[Label.BENIGN, "ours"] / 4000 == pytest.approx(0.4, abs=0.03)
    assert counts[Label.BENIGN, "real"] / 4000 == pytest.approx(0.1, abs=0.03)
    assert counts[Label.EXTRACTION, "ours"] / 4000 == pytest.approx(0.5, abs=0.03)


def test_families_of_one_name_and_another_label_are_not_one() -> None:
    examples = Examples([record(Label.BENIGN, "f", 0), record(Label.EXTRACTION, "f", 1)] * 2, [windows(3)] * 4)
    assert [examples[i]["family"] for i in range(4)] == [0, 1, 0, 1]

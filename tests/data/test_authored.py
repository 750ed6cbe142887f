"""Promises of the requests written by hand: whole, unlike one another, both labels in every pass."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.authored import BLOCK_ROWS, load_authored
from stillwatch.data.bonds import find_pairs
from stillwatch.data.labels import Label, Role, Technique
from stillwatch.data.records import LabelledRequest

MIN_REQUESTS = 5_000
MIN_PASSES = 12


@pytest.fixture(scope="module")
def authored() -> list[LabelledRequest]:
    return load_authored()


def test_there_are_enough_of_them_from_enough_passes(authored: list[LabelledRequest]) -> None:
    passes = Counter(record.source for record in authored)
    assert len(authored) >= MIN_REQUESTS
    assert len(passes) >= MIN_PASSES
    assert len({record.id for record in authored}) == len(authored)
    assert len({record.lang for record in authored}) >= 8


def test_no_two_are_alike(authored: list[LabelledRequest]) -> None:
    assert [(authored[a].id, authored[b].id) for a, b in find_pairs(authored)] == []


def test_every_pass_has_both_labels_and_all_techniques_are_covered(authored: list[LabelledRequest]) -> None:
    labels: dict[str, set[Label]] = defaultdict(set)
    for record in authored:
        labels[record.source].add(record.label)
    assert all({Label.BENIGN, Label.EXTRACTION} <= found for found in labels.values())
    assert {record.technique for record in authored if record.is_extraction} == set(Technique)


def test_labels_techniques_and_attributes_go_together(authored: list[LabelledRequest]) -> None:
    for record in authored:
        assert (record.technique is not None) >= record.is_extraction, record.id
        assert (record.technique is None) >= (record.label is Label.BENIGN), record.id
        assert set(record.attributes) <= set(ATTRIBUTES), record.id
        assert record.request.messages[-1].role in (Role.USER, Role.TOOL), record.id


def test_attributes_are_no_guilt(authored: list[LabelledRequest]) -> None:
    by_label = {
        label: Counter(name for record in authored if record.label is label for name in record.attributes)
        for label in (Label.BENIGN, Label.EXTRACTION)
    }
    for name in ATTRIBUTES:
        assert min(counts[name] for counts in by_label.values()) >= 5, name


def test_neighbours_share_a_family(authored: list[LabelledRequest]) -> None:
    twins = [record for record in authored if record.source == "authored.n"]
    assert [r.family for r in twins] == [f"authored.n.{i // BLOCK_ROWS:02}" for i in range(len(twins))]


def test_fewer_blocks_are_some_of_the_blocks_of_more() -> None:
    few, more = (load_authored(max_blocks=count, seed=3) for count in (5, 20))
    assert len({record.family for record in few}) == 5
    assert {record.id for record in few} < {record.id for record in more}
    assert few != load_authored(max_blocks=5, seed=4)

"""Worlds, contents, corpora: what a stream model learns from is what a gateway would have seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillwatch.data.errors import SplitError
from stillwatch.data.labels import Label
from stillwatch.data.streams.personas import choose_personas
from stillwatch.data.streams.pool import Pool
from stillwatch.model.bundle import Bundle
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.layout import INDEX
from stillwatch.train.streams.contents import Contents
from stillwatch.train.streams.corpus import Member, StreamCorpus, build_corpus, iter_records
from stillwatch.train.streams.holdout import deal_holdouts
from stillwatch.train.streams.keeping import keep_corpus
from stillwatch.train.streams.projection import fit_projection
from stillwatch.train.streams.worlds import make_drawn_campaigns, make_honest, make_named_campaigns

PERSONAS = tuple(persona.name for persona in choose_personas(()))


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Bundle) -> Scorer:
    return Scorer.load(tiny_bundle.folder)


@pytest.fixture(scope="module")
def world(small_pool: Pool) -> list[Member]:
    honest = make_honest(small_pool, PERSONAS, num_accounts=11, seed=1, evenly=True)
    return honest + make_drawn_campaigns(
        small_pool, PERSONAS, num_campaigns=3, most_accounts=3, num_requests=20, seed=1
    )


def build(world: list[Member], scorer: Scorer, *, first: int = 12, paraphrased: bool = False) -> StreamCorpus:
    contents = Contents(scorer, per_class=4, folder=None)
    rows = [contents.place(record) for record in iter_records(world, 3)]
    contents.encode()
    projection = fit_projection([contents.get(row) for row in sorted(set(rows))])
    return build_corpus(
        world, contents, projection, MemoryAccountCounter(), first=first, public_share=0.0, paraphrased=paraphrased
    )


@pytest.fixture(scope="module")
def corpus(world: list[Member], scorer: Scorer) -> StreamCorpus:
    return build(world, scorer)


def test_no_family_stands_on_two_sides_and_every_decided_one_is_tested_once(small_pool: Pool) -> None:
    holdouts = deal_holdouts(small_pool, choose_personas(()), seed=3)
    for holdout in holdouts:
        sides = list(holdout.families.values())
        assert sum(map(len, sides)) == len(frozenset().union(*sides)) == len(small_pool.families)
        assert not set(holdout.personas["train"]) & set(holdout.personas["validation"])
        assert not set(holdout.unseen_personas) & {*holdout.personas["train"], *holdout.personas["validation"]}
        assert set(holdout.personas["test"]) == set(PERSONAS)
    tested = [family for holdout in holdouts for family in holdout.families["test"]]
    assert sorted(tested) == sorted(small_pool.families)


def test_every_side_of_a_rotation_has_something_for_everybody(small_pool: Pool) -> None:
    for holdout in deal_holdouts(small_pool, choose_personas(()), seed=3):
        for pool in holdout.pools(small_pool).values():
            assert len(make_honest(pool, PERSONAS, num_accounts=11, seed=1, evenly=True)) == 11
            assert make_drawn_campaigns(pool, PERSONAS, num_campaigns=2, most_accounts=1, num_requests=5, seed=1)


def test_too_few_personas_are_refused(small_pool: Pool) -> None:
    with pytest.raises(SplitError, match="personas: 2"):
        deal_holdouts(small_pool, choose_personas(("pupil", "grader")), seed=3)


def test_equal_contents_have_one_row_and_a_class_no_more_than_it_may(world: list[Member], scorer: Scorer) -> None:
    contents = Contents(scorer, per_class=2, folder=None)
    rows = [contents.place(record) for record in iter_records(world, 12)]
    assert rows == [contents.place(record) for record in iter_records(world, 12)]
    counted = contents.count()
    assert counted.num_contents <= 2 * counted.num_classes
    assert counted.num_contents == len(set(rows))
    assert 0 < counted.num_exact < counted.num_requests


def test_encodings_are_found_again_on_disk(world: list[Member], scorer: Scorer, tmp_path: Path) -> None:
    first = Contents(scorer, per_class=3, folder=tmp_path)
    rows = [first.place(record) for record in iter_records(world, 5)]
    first.encode()
    again = Contents(scorer, per_class=3, folder=tmp_path)
    assert [again.place(record) for record in iter_records(world, 5)] == rows
    assert again.num_waiting == 0
    assert [again.get(row).extraction for row in rows] == [first.get(row).extraction for row in rows]


def test_a_corpus_holds_each_account_in_time_order(corpus: StreamCorpus, world: list[Member]) -> None:
    for number, member in enumerate(world):
        stream = corpus.arrays(number)
        assert len(stream) == min(12, member.stream.num_requests)
        assert stream.account == member.stream.account
        assert stream.origin == (member.stream.persona or member.stream.operator)
        asked = list(iter_records([member], 12))
        assert stream.times_s.tolist() == [record.request.time_s for record in asked]
        assert stream.families == tuple(record.family for record in asked)
        assert stream.is_extraction.tolist() == [record.is_extraction for record in asked]
        numbers = corpus.vectors_of(number)[:, INDEX["number"]]
        assert np.allclose(numbers, np.log1p(np.arange(len(stream))), atol=0.06)


def test_accounts_of_a_campaign_are_seen_by_each_other_and_honest_ones_are_not(
    corpus: StreamCorpus, world: list[Member]
) -> None:
    honest = [corpus.others[corpus.bounds[n] : corpus.bounds[n + 1]].max() for n in range(11)]
    campaigns = [corpus.others[corpus.bounds[n] : corpus.bounds[n + 1]].max() for n in range(11, len(world))]
    assert max(honest) == 0
    assert max(campaigns) >= 1


def test_a_paraphrased_campaign_shares_no_skeleton(small_pool: Pool, scorer: Scorer) -> None:
    from stillwatch.data.streams.operators import load_operators

    members = make_named_campaigns(
        small_pool, load_operators()["steady"], PERSONAS, num_campaigns=1, accounts_each=3, seed=1
    )
    assert build(members, scorer).others.max() >= 1
    assert build(members, scorer, paraphrased=True).others.max() == 0


def test_a_kept_world_is_not_simulated_twice(corpus: StreamCorpus, world: list[Member], tmp_path: Path) -> None:
    made = []

    def make() -> StreamCorpus:
        made.append(1)
        return corpus

    for key in ("one", "one", "other"):
        kept = keep_corpus(tmp_path / "world.npz", key, world, make)
        assert np.array_equal(kept.vectors, corpus.vectors)
        assert kept.members == tuple(world)
        assert kept.family_names == corpus.family_names
    assert len(made) == 2


def test_operators_to_learn_from_are_drawn_and_bear_no_name(world: list[Member]) -> None:
    drawn = [member for member in world if member.stream.label is Label.EXTRACTION]
    assert 3 <= len(drawn) <= 9
    assert all(member.origin.startswith("drawn-") for member in drawn)


def test_two_worlds_of_the_same_contents_join_account_by_account(corpus: StreamCorpus) -> None:
    both = corpus.join(corpus)
    assert len(both) == 2 * len(corpus)
    assert both.is_operator().tolist() == 2 * corpus.is_operator().tolist()
    for number in range(len(corpus)):
        for place in (number, number + len(corpus)):
            np.testing.assert_array_equal(both.vectors_of(place), corpus.vectors_of(number))
            assert both.arrays(place).families == corpus.arrays(number).families
            np.testing.assert_array_equal(both.arrays(place).embeddings, corpus.arrays(number).embeddings)

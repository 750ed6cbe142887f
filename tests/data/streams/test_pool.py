from __future__ import annotations

from dataclasses import replace

import pytest

from stillwatch.data.chance import Chance
from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.labels import Label, Technique
from stillwatch.data.streams.decks import Deck
from stillwatch.data.streams.pool import Draws, Pool


def test_every_field_that_is_given_must_match(pool: Pool) -> None:
    shelf = pool.select(Draws(labels=(Label.BENIGN,), kinds=("app", "writer"), attributes=("asks_rewriting",)), "who")
    assert {group.kind for group in shelf.groups} == {"writer"}
    also = Draws(labels=(Label.BENIGN,), attributes=("batch",), also_kinds=("pupil",))
    assert {group.kind for group in pool.select(also, "who").groups} == {"app", "pupil"}
    shelf = pool.select(Draws(techniques=(Technique.CODING_ANALYSIS,)), "who")
    assert {group.theme for group in shelf.groups} == {"taken"}
    assert {group.lang for group in pool.select(Draws(), "who", lang="de").groups} == {"de"}


def test_an_empty_choice_names_who_asked_what_and_the_remedy(pool: Pool) -> None:
    with pytest.raises(ConfigError, match=r"persona x: .*\(kinds nobody\); add such rows, hold out fewer"):
        pool.select(Draws(kinds=("nobody",)), "persona x")


def test_held_out_families_share_nothing_with_the_rest(pool: Pool) -> None:
    rest, held = pool.hold_out(["honest.pupil-0", "taken.coding_analysis-1"])
    assert held.families == {"honest.pupil-0", "taken.coding_analysis-1"}
    assert rest.families == pool.families - held.families
    assert len({pool.fingerprint, rest.fingerprint, held.fingerprint}) == 3


def test_a_family_that_is_not_there_cannot_be_held_out_by_mistake(pool: Pool) -> None:
    with pytest.raises(SourceError, match=r"no family honest\.pupi1"):
        pool.hold_out(["honest.pupi1"])
    with pytest.raises(SourceError, match=r"hold out fewer families"):
        pool.hold_out(pool.families)


def test_pools_that_share_a_family_are_not_joined(pool: Pool) -> None:
    with pytest.raises(SourceError, match=r"both hold family"):
        pool.join(pool)


def test_requests_in_memory_make_the_same_groups_as_rendered_ones(pool: Pool) -> None:
    records = [row for group in pool.groups for row in group.rows]
    again = Pool.from_records(records)
    assert again.families == pool.families
    assert [row for group in again.groups for row in group.rows] == records
    other = replace(records[0], lang="fr")
    assert Pool.from_records([other, *records[1:]]).fingerprint != again.fingerprint


def test_rows_are_rendered_when_they_are_read() -> None:
    pool = Pool.from_families(seed=1, rows_per_family=10**9)
    rows = next(group.rows for group in pool.groups if group.family.startswith("everyday."))
    assert len(rows) == 10**9
    assert rows[10**9 - 1].id == rows[-1].id != rows[0].id


def test_a_deck_deals_every_row_before_it_repeats_one(pool: Pool) -> None:
    group = pool.groups[0]
    for seed in range(20):
        deck = Deck(group, Chance(f"{seed}"))
        dealt = [deck.deal().id for _ in range(2 * len(group.rows))]
        assert len(set(dealt[: len(group.rows)])) == len(group.rows)
        assert dealt[: len(group.rows)] == dealt[len(group.rows) :]

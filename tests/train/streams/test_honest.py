from __future__ import annotations

import pytest
from pydantic import ValidationError

from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label
from stillwatch.data.streams.personas import load_personas
from stillwatch.data.streams.pool import Pool
from stillwatch.train.streams.honest import draw_persona
from stillwatch.train.streams.settings import NetworkConfig, WorldConfig
from stillwatch.train.streams.worlds import draw_personas, make_drawn_campaigns, make_drawn_honest

KINDS = ("developer", "pupil", "teacher", "writer")


def test_the_same_seed_draws_the_same_user_and_another_seed_another() -> None:
    assert draw_persona(KINDS, seed="1/2") == draw_persona(KINDS, seed="1/2")
    assert draw_persona(KINDS, seed="1/2") != draw_persona(KINDS, seed="1/3")


def test_drawn_users_are_honest_and_mix_what_the_personas_of_the_file_have_in_fixed_combinations() -> None:
    drawn = [draw_persona(KINDS, seed=f"5/{number}") for number in range(300)]
    assert {persona.draws.labels for persona in drawn} == {(Label.BENIGN,)}
    assert {persona.arrival.process for persona in drawn} == {p.arrival.process for p in load_personas().values()} | {
        "steady"
    }
    assert min(persona.families[1] for persona in drawn) == 1
    assert max(persona.families[1] for persona in drawn) > 30
    assert all(1 <= persona.families[0] <= persona.families[1] for persona in drawn)
    assert all(0 <= persona.arrival.hours[0] < persona.arrival.hours[1] <= 24 for persona in drawn)
    both = {(persona.pins_system, persona.growth.by_tools, persona.sampling.varies) for persona in drawn}
    assert len(both) == 8
    assert any(not persona.draws.kinds for persona in drawn)
    assert {kind for persona in drawn for kind in persona.draws.kinds} == set(KINDS)


def test_every_drawn_account_is_of_a_user_of_its_own(small_pool: Pool) -> None:
    members = make_drawn_honest(small_pool, num_accounts=12, seed=3)
    assert len({member.origin for member in members}) == len({member.stream.account for member in members}) == 12
    assert {member.stream.label for member in members} == {Label.BENIGN}
    for member in members[:4]:
        assert all(record.label is Label.BENIGN for record, _ in zip(member.stream, range(20), strict=False))


def test_operators_take_on_the_manners_of_drawn_users_too(small_pool: Pool) -> None:
    """Or to be of no known persona would be a sign of honesty."""

    def gaps(drawn: bool) -> list[float]:
        manners = draw_personas(small_pool, 3, seed="9") if drawn else []
        members = make_drawn_campaigns(
            small_pool,
            ("developer",),
            num_campaigns=8,
            most_accounts=2,
            num_requests=16,
            seed=4,
            drawn=manners,
        )
        return [record.request.time_s or 0.0 for member in members for record in member.stream]

    assert gaps(True) == gaps(True)
    assert gaps(True) != gaps(False)


def test_a_pool_without_honest_texts_is_refused(small_pool: Pool) -> None:
    extraction = small_pool.keep_only([g.family for g in small_pool.groups if g.label is Label.EXTRACTION])
    with pytest.raises(ConfigError, match="benign families"):
        draw_personas(extraction, 2, seed="1")


def test_new_manners_on_one_side_alone_are_refused() -> None:
    """Or the network would learn that whoever is new is honest, or that he is not."""
    for settings in ({"drawn_accounts": 0}, {"drawn_manners": 0}):
        with pytest.raises(ValidationError, match="both be 0 or both above"):
            WorldConfig(**settings)
    assert WorldConfig(drawn_accounts=0, drawn_manners=0).drawn_accounts == 0


def test_a_network_of_blind_members_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="num_blind must be below num_members"):
        NetworkConfig(num_members=1)
    assert NetworkConfig(num_members=1, num_blind=0).num_members == 1

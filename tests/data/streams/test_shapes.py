"""The disclosed campaigns keep their published figures, whole and scaled."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from stillwatch.data.streams.commands import shapes as command
from stillwatch.data.streams.measuring import measure_campaign
from stillwatch.data.streams.operators import load_operators
from stillwatch.data.streams.personas import choose_personas
from stillwatch.data.streams.planning import CampaignPlan
from stillwatch.data.streams.shapes import load_shapes, measure_extent
from stillwatch.data.streams.simulator import START_S

SHAPES = load_shapes()
PUBLISHED: dict[str, dict[str, float]] = {
    "feb-reasoning": {"exchanges": 150e3},
    "feb-agentic": {"exchanges": 3.4e6, "per_account": 10_000},
    "feb-coding": {"exchanges": 13e6},
    "feb-all": {"exchanges": 16e6, "accounts": 24_000, "per_account": 690},
    "spring-agentic": {"exchanges": 28.8e6, "accounts": 25_000, "window_days": 45, "per_account": 1153},
    "summer-fixed-prompt": {
        "exchanges": 151e6,
        "accounts_at_a_time": 3500,
        "window_days": 90,
        "peak_a_day": 3e6,
        "per_account_a_day": 857,
    },
    "relay": {"exchanges": 300e3, "accounts": 5380, "window_days": 10, "per_account": 56},
    "cot-cleaner": {"exchanges": 3.4e6, "accounts": 273, "window_days": 17, "per_account": 12_450},
    "replay-judge": {"exchanges": 400e3, "accounts": 1500, "window_days": 20, "per_account": 267},
}


def make_plan(name: str, scale: float) -> CampaignPlan:
    return CampaignPlan(SHAPES[name], load_operators(), choose_personas(()), scale=scale, seed=7, start_s=START_S)


def test_what_is_published_is_what_was_disclosed() -> None:
    assert {name: dict(shape.published) for name, shape in SHAPES.items()} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_at_full_size_exchanges_and_accounts_are_exact(name: str) -> None:
    plan, shape = make_plan(name, 1.0), SHAPES[name]
    assert plan.extent.exchanges == shape.get("exchanges", 0)
    assert plan.extent.places == shape.get("accounts_at_a_time", shape.get("accounts", 0) // plan.extent.successors)
    assert plan._ends[-1] == plan.extent.exchanges


@pytest.mark.parametrize("name", PUBLISHED)
def test_at_a_hundredth_an_account_sends_as_many_as_published(name: str) -> None:
    plan, shape = make_plan(name, 0.01), SHAPES[name]
    whole = measure_extent(shape, 1.0)
    counts = [plan.lay_out(index).schedule.num_requests for index in range(len(plan))]
    assert min(counts) >= 1
    assert sum(counts) == plan.extent.exchanges
    assert sum(counts) / len(counts) == pytest.approx(whole.exchanges / whole.accounts, abs=0.5)
    assert len(counts) == pytest.approx(whole.accounts / 100, abs=0.5 * whole.successors)
    assert sum(counts) == pytest.approx(whole.exchanges / 100, abs=0.5 * whole.successors * sum(counts) / len(counts))


@pytest.mark.parametrize("name", ["feb-reasoning", "feb-all", "relay", "replay-judge"])
def test_counted_requests_are_the_planned_ones_within_the_window(name: str) -> None:
    plan = make_plan(name, 0.01)
    made = measure_campaign(plan)
    assert (made.exchanges, made.accounts) == (plan.extent.exchanges, plan.extent.accounts)
    days = SHAPES[name].get("window_days", 0)
    assert 0.7 * days <= made.window_days <= days


def test_the_fixed_prompt_campaign_keeps_its_places_filled_and_its_peak() -> None:
    made = measure_campaign(make_plan("summer-fixed-prompt", 0.002))
    assert made.accounts_at_a_time == 7
    assert made.peak_a_day == pytest.approx(7 * 857, rel=0.15)
    assert made.per_account_a_day == pytest.approx(857, rel=0.15)


def test_a_campaign_of_another_seed_or_shape_has_another_name() -> None:
    names = {
        CampaignPlan(SHAPES[name], load_operators(), choose_personas(()), scale=0.01, seed=seed, start_s=START_S).id
        for name in ("relay", "feb-all")
        for seed in (1, 2)
    }
    assert len(names) == 4


def test_the_command_prints_every_shape_and_figure() -> None:
    told = json.loads(CliRunner().invoke(command, ["--scale", "0.001", "--json"]).output)
    assert [one["name"] for one in told] == list(PUBLISHED)
    assert all(one["regenerated"]["exchanges"] == one["wanted_exchanges"] for one in told)
    table = CliRunner().invoke(command, ["--scale", "0.001"]).output
    assert all(name in table for name in PUBLISHED)

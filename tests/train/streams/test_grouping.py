"""Accounts of a scored log grouped into campaigns, by skeletons that honest accounts do not send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stillwatch.data.errors import InputError
from stillwatch.model.calibration import Action
from stillwatch.train.streams.campaign_pictures import draw_campaign
from stillwatch.train.streams.commands import campaigns
from stillwatch.train.streams.grouping import find_campaigns, gather_traces
from stillwatch.train.streams.scored_log import ScoredRequest, iter_scored, write_scored

PUBLIC, MINE, THEIRS = 1, 2, 3


def account(name: str, *prints: int, begin_s: float, flagged_after: int | None = None) -> list[ScoredRequest]:
    """Ten requests, one a minute."""
    return [
        ScoredRequest(
            account=name,
            time_s=begin_s + 60 * number,
            logit=float(number),
            action=Action.FLAG if flagged_after is not None and number >= flagged_after else Action.ALLOW,
            technique="coding_analysis" if flagged_after is not None else None,
            fingerprints=prints,
        )
        for number in range(10)
    ]


@pytest.fixture
def log() -> list[ScoredRequest]:
    one = [row for n in range(4) for row in account(f"a{n}", MINE, PUBLIC, begin_s=1000.0 * n, flagged_after=5)]
    two = [row for n in range(2) for row in account(f"b{n}", THEIRS, begin_s=500.0 * n, flagged_after=2)]
    honest = [row for n in range(20) for row in account(f"h{n}", PUBLIC, 100 + n, begin_s=10.0 * n)]
    return [*one, *two, *honest]


def test_campaigns_are_told_apart_and_public_prompts_link_nobody(log: list[ScoredRequest]) -> None:
    found = find_campaigns(gather_traces(log))
    assert [[member.account for member in each.members] for each in found] == [["a0", "a1", "a2", "a3"], ["b0", "b1"]]
    assert [each.shared for each in found] == [(MINE,), (THEIRS,)]


def test_what_leaked_is_what_was_sent_before_the_third_flag(log: list[ScoredRequest]) -> None:
    first, second = find_campaigns(gather_traces(log))
    assert first.flag_s == 2000 + 5 * 60
    assert first.num_leaked == 10 + 10 + 5
    assert first.num_exchanges == 40
    assert second.flag_s == 500 + 2 * 60  # two accounts: both of them
    assert second.num_leaked == 10 + 2


def test_accounts_without_a_flag_are_no_campaign() -> None:
    rows = [row for n in range(4) for row in account(f"h{n}", MINE, begin_s=0.0)]
    assert find_campaigns(gather_traces(rows)) == []


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(InputError, match="no scored request"):
        gather_traces([])


def test_a_log_comes_back_as_it_was_written(log: list[ScoredRequest], tmp_path: Path) -> None:
    assert write_scored(tmp_path / "log.jsonl", log) == len(log)
    assert list(iter_scored(tmp_path / "log.jsonl")) == log


def test_a_bad_row_is_told_by_place_and_field_and_never_by_value(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"account": "a", "time_s": "secret-words", "logit": 1}\n', "utf-8")
    with pytest.raises(InputError, match=r"log.jsonl:1: time_s: a string of 12 characters"):
        list(iter_scored(path))


def test_the_command_prints_campaigns_and_draws_the_largest(log: list[ScoredRequest], tmp_path: Path) -> None:
    path, picture = tmp_path / "log.jsonl", tmp_path / "campaign.png"
    write_scored(path, log)
    result = CliRunner().invoke(campaigns, [str(path), "--json", "--picture", str(picture)])
    assert result.exit_code == 0
    rows = json.loads(result.output)
    assert rows[0]["members"] == ["a0", "a1", "a2", "a3"]
    assert rows[0]["shared_fingerprints"] == [f"{MINE:016x}"]
    assert rows[0]["techniques"] == {"coding_analysis": 40}
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = CliRunner().invoke(campaigns, [str(path)])
    assert "2 campaigns" in table.output


def test_a_picture_names_the_moment_of_the_flag(log: list[ScoredRequest]) -> None:
    figure = draw_campaign(find_campaigns(gather_traces(log))[0])
    legend = figure.axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["account flagged", "campaign flagged"]

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from math import sqrt
from pathlib import Path

import pytest

from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label, Role
from stillwatch.data.records import LabelledRequest
from stillwatch.data.streams.operators import load_operators
from stillwatch.data.streams.personas import choose_personas, load_personas
from stillwatch.data.streams.pool import Pool
from stillwatch.data.streams.simulator import (
    START_S,
    merge_streams,
    simulate_accounts,
    simulate_campaign,
    simulate_crowd,
)
from stillwatch.data.streams.stream import Stream

DAY_S = 86_400.0
OPERATORS = load_operators()
PROGRAM = """
import hashlib, sys
from itertools import islice
from pathlib import Path
from stillwatch.data.streams.pool import INJECTED_FAMILIES, Pool
from stillwatch.data.streams.simulator import simulate_crowd
injected = Pool.from_families(INJECTED_FAMILIES, seed=1, rows_per_family=10)
pool = Pool.from_families(Path(sys.argv[1]), seed=1, rows_per_family=40).join(injected)
crowd = simulate_crowd(pool, num_accounts=30, shapes={"relay": 0.001, "feb-all": 0.0005}, seed=11)
rows = [record for stream in crowd for record in islice(stream, 30)]
print(len(rows), hashlib.sha256(repr(rows).encode()).hexdigest())
"""


def read(stream: Stream, num: int = 50) -> list[LabelledRequest]:
    return list(islice(stream, num))


def test_the_hash_seed_of_the_process_changes_nothing(families: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(families)]
    running = [
        subprocess.Popen(command, env={"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in ("1", "77")
    ]
    told = [process.communicate()[0] for process in running]
    assert told[0] == told[1]
    assert int(told[0].split()[0]) > 500


def test_the_same_seed_gives_the_same_streams_and_another_seed_others(pool: Pool) -> None:
    first, again, other = (
        [read(stream, 10) for stream in simulate_accounts(pool, num_accounts=20, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_any_account_is_made_alone_as_in_its_turn(pool: Pool) -> None:
    for make in (
        lambda: simulate_accounts(pool, num_accounts=60, seed=3),
        lambda: simulate_campaign(pool, shape="relay", scale=0.01, seed=3),
        lambda: simulate_campaign(pool, shape="summer-fixed-prompt", scale=0.001, seed=3),
    ):
        in_turn = [(stream.account, read(stream, 5)) for stream in make()]
        alone = make()
        assert [(alone[n].account, read(alone[n], 5)) for n in (7, 2, -1)] == [in_turn[n] for n in (7, 2, -1)]
        assert [stream.account for stream in alone[3:6]] == [account for account, _ in in_turn[3:6]]


def test_a_larger_crowd_begins_with_the_smaller_one(pool: Pool) -> None:
    small, large = (simulate_accounts(pool, num_accounts=number, seed=1) for number in (5, 1_000_000))
    assert [read(stream, 3) for stream in small] == [read(large[number], 3) for number in range(5)]


def test_every_request_carries_account_time_and_id_and_the_account_says_nothing(pool: Pool) -> None:
    crowd = simulate_crowd(pool, num_accounts=20, shapes={"relay": 0.002}, seed=5)
    accounts = [stream.account for stream in crowd]
    assert len(set(accounts)) == len(crowd) == len(accounts)
    for stream in crowd:
        assert stream.account.startswith("account-")
        assert len(stream.account) == len("account-") + 16
        records = read(stream, 20)
        assert [record.id for record in records] == [f"{stream.account}/{number}" for number in range(len(records))]
        assert {record.request.account for record in records} == {record.session for record in records}
        times = [record.request.time_s or 0.0 for record in records]
        assert times == sorted(times)
        assert len(records) == min(20, stream.num_requests)
        if stream.label is Label.BENIGN:
            assert stream.campaign is stream.operator is None
            assert {record.label for record in records} == {Label.BENIGN}
        else:
            assert stream.campaign is not None
            assert stream.operator in ("relayed", "trace-replayer")


def test_no_held_out_family_ever_appears(pool: Pool) -> None:
    held = ["honest.pupil-0", "honest.developer-1", "taken.coding_analysis-0", "injected.two-parts"]
    rest, _ = pool.hold_out(held)
    crowd = simulate_crowd(rest, num_accounts=60, shapes={"relay": 0.003, "feb-all": 0.001}, seed=5)
    seen = {record.family for stream in crowd for record in read(stream, 40)}
    assert not seen & set(held)
    only = simulate_accounts(pool, num_accounts=10, seed=1, personas=choose_personas(("pupil",)), families=held[:1])
    assert {record.family for stream in only for record in read(stream, 10)} == {"honest.pupil-0"}


def test_only_the_named_personas_come_in_the_shares_of_their_weights(pool: Pool) -> None:
    personas = choose_personas(("casual", "pupil"))
    counts = Counter(s.persona for s in simulate_accounts(pool, num_accounts=2000, seed=1, personas=personas))
    share = 30 / 44
    assert counts["casual"] + counts["pupil"] == 2000
    assert abs(counts["casual"] - 2000 * share) < 4 * sqrt(2000 * share * (1 - share))


def test_a_persona_without_requests_is_refused_at_once(pool: Pool) -> None:
    rest, _ = pool.hold_out(["measured.bench"])
    with pytest.raises(ConfigError, match=r"persona evaluator: .*labels ambiguous.*add such rows"):
        simulate_accounts(rest, num_accounts=1, seed=1, personas=choose_personas(("evaluator",)))
    stream = simulate_accounts(pool, num_accounts=1, seed=1, personas=choose_personas(("evaluator",)))[0]
    assert stream.label is Label.AMBIGUOUS
    assert {record.label for record in read(stream)} == {Label.AMBIGUOUS}


def test_growing_conversations_carry_all_earlier_messages(pool: Pool) -> None:
    grown = 0
    for stream in simulate_accounts(pool, num_accounts=20, seed=2, personas=choose_personas(("casual", "agent-user"))):
        records = read(stream, 80)
        for before, after in pairwise(records):
            old, new = before.request.messages, after.request.messages
            if new[: len(old)] == old and len(new) > len(old):
                grown += 1
                answer, turn = new[len(old) :]
                assert answer.role is Role.ASSISTANT
                is_agent = stream.persona == "agent-user"
                assert turn.role is (Role.TOOL if is_agent else Role.USER)
                assert bool(answer.tool_calls) == is_agent
                assert (after.request.time_s or 0) - (before.request.time_s or 0) <= 1800
            else:
                assert new[-1].role is Role.USER
    assert grown > 300


def test_an_account_sticks_to_its_families_its_system_text_and_its_sampling(pool: Pool) -> None:
    for stream in simulate_accounts(pool, num_accounts=10, seed=2, personas=choose_personas(("app-back-end",))):
        records = read(stream)
        assert len({record.family for record in records}) == 1
        assert len({record.request.messages[0] for record in records}) == 1
        assert records[0].request.messages[0].role is Role.SYSTEM
        assert len({record.request.sampling for record in records}) == 1


def test_a_translator_works_in_two_languages(pool: Pool) -> None:
    streams = simulate_accounts(pool, num_accounts=20, seed=2, personas=choose_personas(("translator",)))
    assert all({r.lang for r in read(stream, 200)} == {"de", "en"} for stream in streams if stream.num_requests > 60)


@pytest.mark.parametrize("percent", [5, 10, 25, 50, 100])
def test_mixed_operators_keep_their_share_of_extraction(pool: Pool, percent: int) -> None:
    # Conversations of one request each, so that the binomial error holds.
    operator = OPERATORS[f"mixed-{percent}"]
    single = replace(operator, growth=replace(operator.growth, share=0.0), mimics=0.0)
    records = [r for stream in simulate_campaign(pool, shape=single, seed=4) for r in read(stream, 400)]
    share, wanted = sum(r.is_extraction for r in records) / len(records), percent / 100
    assert len(records) > 2000
    assert abs(share - wanted) <= 4 * sqrt(wanted * (1 - wanted) / len(records))


def test_with_conversations_the_share_still_holds(pool: Pool) -> None:
    operator = OPERATORS["mixed-25"]
    operator = replace(operator, size=replace(operator.size, accounts=40))
    records = [r for s in simulate_campaign(pool, shape=operator, seed=4) for r in read(s, 200)]
    assert sum(r.is_extraction for r in records) / len(records) == pytest.approx(0.25, abs=0.05)


def test_a_banned_account_is_followed_by_another_and_no_exchange_is_lost(pool: Pool) -> None:
    operator = OPERATORS["banned-and-replaced"]
    campaign = simulate_campaign(pool, shape=operator, seed=6)
    streams = list(campaign)
    assert len(streams) == operator.size.accounts
    assert sum(stream.num_requests for stream in streams) == operator.size.exchanges
    for first in range(0, len(streams), operator.size.successors):
        lives = [stream.schedule for stream in streams[first : first + operator.size.successors]]
        assert lives[0].begin_s == START_S
        assert lives[-1].end_s == START_S + operator.size.days * DAY_S
        assert all(a.end_s == b.begin_s for a, b in pairwise(lives))
        times = [time_s for life in lives for time_s in islice(life.iter_times(), 100)]
        assert all(life.begin_s <= next(life.iter_times()) <= life.end_s for life in lives)
        assert len(times) >= len(lives)


def test_a_fixed_prompt_stands_before_other_peoples_requests(pool: Pool) -> None:
    operator = replace(OPERATORS["fixed-prompt"], mimics=0.0)
    records = [r for s in simulate_campaign(pool, shape=operator, seed=6) for r in read(s, 30)]
    assert len({record.request.messages[0].content for record in records}) == 1
    assert all(record.is_extraction and record.family.startswith("injected.") for record in records)
    honest = {message.content for group in pool.groups if group.theme == "honest" for row in group.rows
              for message in row.request.messages}  # fmt: skip
    assert all({m.content for m in record.request.messages[1:]} <= honest for record in records)


def test_stored_sessions_are_replayed_with_other_last_words(pool: Pool) -> None:
    operator = OPERATORS["replaying"]
    operator = replace(operator, mimics=0.0, stored_sessions=5, draws=replace(operator.draws, themes=("taken",)))
    records = [r for s in simulate_campaign(pool, shape=operator, seed=6) for r in read(s, 30)]
    assert all(record.is_extraction and record.request.messages[-1].role is Role.USER for record in records)
    bodies = Counter(record.request.messages[:-1] for record in records)
    assert len(bodies) <= 5
    assert len({record.request.messages[-1].content for record in records}) > 20


def test_most_accounts_of_a_campaign_have_the_manners_of_honest_ones(pool: Pool) -> None:
    personas = choose_personas(("grader", "developer"))
    for share, wanted in ((1.0, {"grader", "developer"}), (0.0, {None})):
        operator = replace(OPERATORS["spread"], mimics=share)
        campaign = simulate_campaign(pool, shape=operator, personas=personas, seed=1)
        posts = [campaign.plan.lay_out(number) for number in range(60)]
        assert {post.manners and post.manners.name for post in posts} == wanted
        for post, stream in zip(posts, campaign, strict=False):
            who = post.manners or operator
            sampling = [record.request.sampling for record in read(stream, 10)]
            assert {one.max_tokens for one in sampling} <= set(who.sampling.max_tokens)
            assert {one.temperature for one in sampling} <= set(who.sampling.temperature)


def test_templates_rotate(pool: Pool) -> None:
    operator = replace(OPERATORS["rotating"], templates=(5, 5), rotate_every=10, mimics=0.0)
    families = [record.family for record in read(simulate_campaign(pool, shape=operator, seed=1)[0], 100)]
    changes = sum(before != after for before, after in pairwise(families))
    assert len(set(families)) == 5
    assert 9 <= changes <= 10


def test_an_operator_without_requests_is_refused_at_once(pool: Pool) -> None:
    injected = [family for family in pool.families if family.startswith("injected.")]
    rest, _ = pool.hold_out(injected)
    with pytest.raises(ConfigError, match=r"operator relayed: .*themes injected with a system text"):
        simulate_campaign(rest, shape="relay", scale=0.01, seed=1)
    with pytest.raises(ConfigError, match=r"shape relai: unknown; use one of"):
        simulate_campaign(pool, shape="relai", seed=1)
    with pytest.raises(ConfigError, match=r"scale: 0; give a number above 0"):
        simulate_campaign(pool, shape="relay", scale=0, seed=1)


def test_merged_requests_come_in_time_order_and_none_is_lost(pool: Pool) -> None:
    personas = choose_personas(("casual", "pupil"))
    crowd = simulate_crowd(pool, num_accounts=40, shapes={"relay": 0.002}, personas=personas, seed=9)
    merged = list(merge_streams(crowd))
    assert len(merged) == sum(stream.num_requests for stream in crowd)
    times = [record.request.time_s or 0.0 for record in merged]
    assert times == sorted(times)
    assert sorted(record.id for record in merged) == sorted(record.id for stream in crowd for record in stream)


def test_many_accounts_need_little_memory(pool: Pool) -> None:
    accounts = simulate_accounts(pool, num_accounts=1_000_000, seed=1)
    campaign = simulate_campaign(pool, shape="summer-fixed-prompt", seed=1)
    read(accounts[5]), read(campaign[5])
    tracemalloc.start()
    num_requests = sum(stream.num_requests for stream in islice(accounts, 20_000))
    sample = [read(accounts[number], 1)[0].id for number in range(0, 1_000_000, 20_000)]
    replaced = [read(campaign[number], 1)[0].id for number in (0, 9_999, len(campaign) - 1)]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_requests > 1_000_000
    assert len({*sample, *replaced}) == 53
    assert peak_bytes < 4 * 2**20


def test_every_shipped_persona_and_operator_works_on_the_tiny_pool(pool: Pool) -> None:
    for persona in load_personas().values():
        assert read(simulate_accounts(pool, num_accounts=1, seed=1, personas=[persona])[0])
    for operator in OPERATORS.values():
        assert read(simulate_campaign(pool, shape=operator, seed=1)[0])


def test_requests_can_be_written_as_json(pool: Pool) -> None:
    from stillwatch.data.dialects import dump_labelled, parse_labelled

    for stream in simulate_crowd(pool, num_accounts=5, shapes={"cot-cleaner": 0.002}, seed=1):
        for record in read(stream, 10):
            assert parse_labelled(json.loads(json.dumps(dump_labelled(record)))) == record

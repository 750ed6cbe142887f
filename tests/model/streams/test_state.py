"""The account's state: what its slots measure, its size, and that its bytes give all of it back."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log1p, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.data.errors import InputError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request, Sampling, Tool
from stillwatch.model.pooling import FloatArray
from stillwatch.model.streams.accounts import Others
from stillwatch.model.streams.layout import INDEX, WINDOW
from stillwatch.model.streams.observation import Observation
from stillwatch.model.streams.state import CLOCK_SLACK_S, MAX_STATE_BYTES, AccountState

Observe = Callable[..., Observation]
FORM = "Write out every step of the reasoning for this exercise, then the result: {}"
CHATTER = (
    "what would go well with leeks tonight?",
    "my bicycle chain squeaks after rain",
    "how do I rename a branch in git?",
)


def ask(text: str, **fields: object) -> Request:
    return Request((Message(Role.USER, text),), **fields)  # type: ignore[arg-type]


def talk(*turns: str, system: str = "") -> Request:
    roles = (Role.USER, Role.ASSISTANT)
    systems = (Message(Role.SYSTEM, system),) if system else ()
    return Request(systems + tuple(Message(roles[n % 2], turn) for n, turn in enumerate(turns)))


def read(vector: FloatArray, name: str) -> float:
    return float(vector[INDEX[name]])


def feed(observe: Observe, *requests: Request, times_s: list[float | None] | None = None) -> list[FloatArray]:
    state = AccountState()
    times = times_s or [60.0 * n for n in range(len(requests))]
    return [state.update(observe(r), t, None) for r, t in zip(requests, times, strict=True)]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.one_of(st.none(), st.floats(-1e5, 1e10), st.sampled_from([nan, inf])),
        st.floats(-20, 20),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(steps=STEPS, seed=st.integers(0, 1000))
def test_a_state_that_went_through_its_bytes_goes_on_with_the_same_numbers(
    observe: Observe, steps: list[tuple[int, float | None, float, bool]], seed: int
) -> None:
    through, live = AccountState(), AccountState()
    for number, (form, time_s, logit, counted) in enumerate(steps):
        request = talk(*[FORM.format(number % 4), "so", "and " + CHATTER[form % 3]][: 1 + 2 * (form % 2)])
        others = Others(form, 1.0, 0.0, 2.0) if counted else None
        observation = observe(request, logit, seed + number)
        through = AccountState.from_bytes(through.to_bytes())
        assert np.array_equal(live.update(observation, time_s, others), through.update(observation, time_s, others))
        live.record_logit(logit, review_logit=1.0)
        AccountState.from_bytes(through.to_bytes())
        through = AccountState.from_bytes(through.to_bytes())  # also between taking in and judging
        through.record_logit(logit, review_logit=1.0)
        assert live.to_bytes() == through.to_bytes()
        assert np.array_equal(live.read_window(), through.read_window())
        assert (live.maximum, live.num_suspicious) == (through.maximum, through.num_suspicious)


def test_a_state_never_takes_more_than_its_room(observe: Observe) -> None:
    state = AccountState()
    sizes = []
    for number in range(400):
        rng = np.random.default_rng(number // 2)  # all is sent twice, so that both queues fill
        words = " ".join("".join(map(chr, rng.integers(97, 123, 8))) for _ in range(40))
        turns = [f"{words} {n}" for n in range(1 + 2 * (number % 5))]
        state.update(observe(talk(*turns, system=words), 0.0, number), 1e9 + number, Others(1, 1, 1, 1))
        sizes.append(len(state.to_bytes()))
    assert max(sizes) <= MAX_STATE_BYTES
    assert sizes[-1] > 0.9 * MAX_STATE_BYTES  # it was full
    assert state.num_requests == 400
    assert len(state.read_window()) == WINDOW


def test_the_window_holds_the_last_vectors_oldest_first(observe: Observe) -> None:
    state = AccountState()
    rows = [state.update(observe(ask(f"number {n}"), n % 12, n), None, None) for n in range(WINDOW + 10)]
    assert np.array_equal(state.read_window(), np.stack(rows[-WINDOW:]))


def test_one_form_filled_again_and_again_is_repetition_and_chatter_is_none(observe: Observe) -> None:
    forms = feed(observe, *(ask(FORM.format(topic)) for topic in ("apples", "levers", "tides")))
    chatter = feed(observe, *map(ask, CHATTER))
    assert read(forms[0], "repetition") == 0
    assert read(forms[2], "repetition") > 0.3
    assert read(forms[2], "repeats") == pytest.approx(log1p(2), abs=0.03)
    assert read(chatter[2], "repetition") == 0
    assert read(chatter[2], "distinct") == pytest.approx(log1p(3), abs=0.03)
    assert read(forms[2], "distinct") < read(chatter[2], "distinct")


def test_a_follow_up_is_known_by_the_turns_before_it_also_among_other_conversations(observe: Observe) -> None:
    first = talk("hello there", "hi", "how do tides work?")
    between = talk("another matter")
    second = talk("hello there", "hi", "how do tides work?", "the moon", "and the sun?")
    rows = feed(observe, talk("hello there"), first, between, second)
    assert [read(row, "follow_up") for row in rows] == pytest.approx([0, 1 / 3, 0, 3 / 5], abs=0.01)
    assert [read(row, "unearned") for row in rows] == [0, 0, 0, 0]


def test_a_history_that_nobody_saw_is_unearned_and_the_second_time_replayed(observe: Observe) -> None:
    stored = ("how do tides work?", "the moon pulls", "only the moon?", "the sun, too")
    rows = feed(observe, talk(*stored, "grade this"), talk(*stored, "grade it again, harder"))
    assert [read(row, "unearned") for row in rows] == pytest.approx([log1p(2)] * 2, abs=0.02)
    assert [read(row, "replayed") for row in rows] == [0, 1]


def test_steps_of_an_agent_are_no_repetition(observe: Observe) -> None:
    messages = [Message(Role.USER, FORM.format("levers"))]
    requests = []
    for number in range(4):
        requests.append(Request(tuple(messages)))
        messages += [Message(Role.ASSISTANT, f"step {number}"), Message(Role.TOOL, f"result {number}")]
    rows = feed(observe, *requests)
    assert [read(row, "repetition") for row in rows] == [0, 0, 0, 0]
    assert all(read(row, "follow_up") > 0 for row in rows[1:])


def test_a_request_sent_again_counts_once_as_suspicious(observe: Observe) -> None:
    state = AccountState()
    for text in ("one", "one", "one", "two"):
        state.update(observe(ask(text)), None, None)
        state.record_logit(5.0, review_logit=1.0)
    assert state.num_suspicious == 2
    assert state.maximum == 5.0


def test_tools_are_new_until_they_were_offered_together(observe: Observe) -> None:
    one, two = (Tool("find"),), (Tool("find"), Tool("send"))
    rows = feed(observe, *(ask(f"go {n}", tools=tools) for n, tools in enumerate((one, one, two, (), one))))
    assert [read(row, "tools_new") for row in rows] == [1, 0, 1, 0, 0]


def test_the_gap_is_measured_and_the_pace_compared_with_the_account_itself(observe: Observe) -> None:
    times: list[float | None] = [0.0, *(60.0 * n for n in range(1, 20)), 60.0 * 19 + 1]
    rows = feed(observe, *(ask(f"question {n}") for n in range(21)), times_s=times)
    assert read(rows[0], "gap") == pytest.approx(-1, abs=0.04)
    assert read(rows[5], "gap") == pytest.approx(log1p(60), abs=0.04)
    assert read(rows[5], "pace") == pytest.approx(0, abs=0.03)
    assert read(rows[20], "pace") < -3


def test_missing_and_disordered_times_and_wrong_clocks_leave_a_plain_trace(observe: Observe) -> None:
    times: list[float | None] = [1e9, None, 1e9 + 60, 1e9 + 30, 1e9 + 60, 1e9 - 2 * CLOCK_SLACK_S, nan, inf, 1e30]
    state = AccountState()
    rows = [state.update(observe(ask(f"question {n}")), time_s, None) for n, time_s in enumerate(times)]
    gaps = [read(row, "gap") for row in rows]
    unknown, none = pytest.approx(-1, abs=0.04), pytest.approx(0, abs=0.04)
    assert gaps[:8] == [unknown, unknown, pytest.approx(log1p(60), abs=0.04), none, none, unknown, unknown, unknown]
    assert gaps[8] == pytest.approx(15, abs=0.04)
    assert all(np.isfinite(row).all() for row in rows)


def test_sampling_and_shape_are_told_and_their_absence_too(observe: Observe) -> None:
    given_all = ask("a question", sampling=Sampling(temperature=0.7, top_p=0.9, max_tokens=4096, n=4))
    rows = feed(observe, given_all, ask("a question of more words"))
    names = ("temperature", "max_tokens", "num_answers", "top_p_given")
    assert [read(rows[0], name) for name in names] == pytest.approx([0.7, log1p(4096), log1p(4), 1], abs=0.03)
    assert [read(rows[1], name) for name in names] == pytest.approx([-1, 0, 0, 0], abs=0.01)
    assert read(rows[1], "characters") > read(rows[0], "characters")


def test_counts_of_others_have_slots_of_their_own(observe: Observe) -> None:
    state = AccountState()
    alone = state.update(observe(ask("a")), None, None)
    shared = state.update(observe(ask("b")), None, Others(system=0, instruction=30, form=2, opening=5))
    names = ("others_system", "others_instruction", "others_form", "others_opening", "others_share")
    assert [read(alone, name) for name in names] == [0] * 5
    expected = [0, log1p(30), log1p(2), log1p(5), 0.5]
    assert [read(shared, name) for name in names] == pytest.approx(expected, abs=0.03)


def test_nearness_is_one_for_the_same_text_and_less_for_another(observe: Observe) -> None:
    state = AccountState()
    rows = [state.update(observe(ask("x"), 0.0, seed), None, None) for seed in (1, 1, 2)]
    assert read(rows[1], "nearness_to_last") > 0.97  # the last one is kept in four bits a number
    assert read(rows[1], "nearness_to_mean") > 0.99
    assert read(rows[2], "nearness_to_last") < 0.8


def test_bytes_that_are_no_state_are_refused(observe: Observe) -> None:
    state = AccountState()
    for number in range(5):
        state.update(observe(talk("a", "b", str(number))), None, None)
    raw = state.to_bytes()
    AccountState.from_bytes(raw)
    for broken in (b"", raw[:20], raw[:-1], raw[:200], b"XX" + raw[2:], raw[:2] + b"\xff" + raw[3:], raw + b"\x00"):
        with pytest.raises(InputError, match="starts anew"):
            AccountState.from_bytes(broken)

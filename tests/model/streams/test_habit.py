"""What an account sent before: counts, and which are forgotten first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.data.errors import InputError
from stillwatch.model.streams.habit import AGAIN_ROOM, ONCE_ROOM, Habit


def spread(number: int) -> int:
    """A fingerprint: its first bits tell it from the others."""
    return number * 0x9E3779B97F4A7C15 % 2**64


def test_what_was_sent_is_counted_up_to_255() -> None:
    habit = Habit()
    assert habit.count(spread(1)) == 0
    for _ in range(300):
        habit.add(spread(1))
    assert habit.count(spread(1)) == 255
    assert habit.count(spread(2)) == 0


def test_what_returns_outlives_any_number_of_what_does_not() -> None:
    habit = Habit()
    for _ in range(2):
        habit.add(spread(0))
    for number in range(1, 5000):
        habit.add(spread(number))
    assert habit.count(spread(0)) == 2
    assert habit.count(spread(4999)) == 1
    assert habit.count(spread(1)) == 0


@given(st.lists(st.integers(0, 400), max_size=1500))
def test_its_bytes_are_bounded_and_give_it_back(numbers: list[int]) -> None:
    habit = Habit()
    for number in numbers:
        habit.add(spread(number))
    raw = habit.to_bytes()
    assert len(raw) <= 2 + 4 * (ONCE_ROOM + AGAIN_ROOM)
    again = Habit.from_bytes(raw)
    assert again.to_bytes() == raw
    assert [again.count(spread(n)) for n in range(400)] == [habit.count(spread(n)) for n in range(400)]


@pytest.mark.parametrize("raw", [b"\x01\x00", b"\xff\xff", b"\x00\x00\x01"])
def test_bytes_of_another_length_are_refused(raw: bytes) -> None:
    with pytest.raises(InputError, match="starts anew"):
        Habit.from_bytes(raw)

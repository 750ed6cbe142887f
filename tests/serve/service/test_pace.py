"""What the queue takes a request and its workers' pace for."""

from __future__ import annotations

import pytest

from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.serve.service.pace import Pace, estimate_effort


def test_a_dear_batch_counts_by_its_work_and_not_as_one_of_many() -> None:
    pace = Pace()
    assert pace.s_per_token == 0.0
    for _ in range(1000):
        pace.learn(10.0, 0.01)
    cheap = pace.s_per_token
    pace.learn(1000.0, 0.1)
    assert cheap == pytest.approx(0.001)
    assert pace.s_per_token == pytest.approx((0.9 * 0.1 + 0.1) / (0.9 * 100 + 1000), rel=1e-3)


def test_what_was_sent_before_costs_little_where_encodings_are_kept() -> None:
    turns = tuple(Message(role, "x" * 400) for role in (Role.USER, Role.ASSISTANT, Role.USER))
    conversation, last = Request(turns), Request(turns[-1:])
    alone = estimate_effort(last, remembers=True)
    assert estimate_effort(conversation, remembers=True) == alone + 25
    assert estimate_effort(conversation, remembers=False) == alone + 200
    assert estimate_effort(Request((Message(Role.USER, "x"),)), remembers=True) > 1

"""A crowd comes as it says, and goes through the real scorer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crowd import START_S, Crowd


def test_every_account_of_a_crowd_comes_and_some_come_again() -> None:
    arrivals = list(Crowd(2_000, 10, 50.0, again_share=0.2))
    assert len({arrival.account for arrival in arrivals}) == 2_000
    assert 0.17 < 1 - 2_000 / len(arrivals) < 0.23
    assert {arrival.text for arrival in arrivals} == set(range(10))


def test_a_crowd_keeps_its_rate_and_is_the_same_each_time() -> None:
    crowd = Crowd(500, 10, 50.0)
    arrivals = list(crowd)
    assert [arrival.time_s - START_S for arrival in arrivals] == pytest.approx([i / 50 for i in range(len(arrivals))])
    assert arrivals == list(crowd)


@pytest.mark.slow
def test_a_small_crowd_is_followed_bounded_and_forgotten(repository: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "tests/bench/million_accounts.py", "--accounts", "2000", "--texts", "40"]
    subprocess.run([*command, "--json", str(found)], cwd=repository, check=True, capture_output=True)
    report = json.loads(found.read_text("utf-8"))
    assert report["num_accounts"] == report["num_expected"] == 2_000 < report["num_requests"]
    assert report["bound"]["num_accounts"] == 200
    assert report["bound"]["num_kept"] == report["bound"]["room"] == 40
    assert report["expiry"]["num_before"] == 2_000
    assert report["expiry"]["num_after"] == 1
    assert 0 < report["encoded_bytes"] < report["full_encoded_bytes"] <= 4_096
    assert report["follow_ms"] < report["new_text"]["p50_ms"]
    assert report["step"]["p50_ms"] <= report["step"]["p99_ms"]

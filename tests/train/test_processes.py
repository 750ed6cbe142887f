from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import distributed

from stillwatch.train.processes import count_processes, is_lead, parting


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def test_a_process_leaves_its_group_when_its_work_is_done(joined: None) -> None:
    with parting():
        assert distributed.is_initialized()
    assert not distributed.is_initialized()


def test_a_failure_is_told_without_waiting_for_the_others(joined: None) -> None:
    with pytest.raises(KeyError), parting():
        raise KeyError
    assert distributed.is_initialized()


def test_a_process_on_its_own_has_no_group_to_leave() -> None:
    with parting():
        pass


def test_the_first_process_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (is_lead(), count_processes()) == (True, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, leads in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert (is_lead(), count_processes()) == (leads, 2)

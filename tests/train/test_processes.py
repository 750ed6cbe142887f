from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import distributed

from stillwatch.train.processes import count_processes, is_lead, leave_group


@pytest.fixture
def joined(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.mark.usefixtures("joined")
def test_a_process_leaves_its_group_once_and_may_say_so_twice() -> None:
    assert distributed.is_initialized()
    leave_group()
    assert not distributed.is_initialized()
    leave_group()


def test_the_first_process_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert (is_lead(), count_processes()) == (True, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, leads in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        assert (is_lead(), count_processes()) == (leads, 2)

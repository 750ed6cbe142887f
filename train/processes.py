"""The processes of a distributed run, as `torchrun` starts them: who leads, and how they part."""

from __future__ import annotations

import os

import torch.distributed


def is_lead() -> bool:
    """Whether this process tracks, scores and writes; the others only take their share of every fit."""
    return os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    """How many processes fit together, 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leave_group() -> None:
    """Leave the process group that the fits have joined, after the last of them; without one nothing happens.

    A process that ends as a member of its group is now and then aborted by a thread of Gloo that nobody joined: with
    its work done and the status of a crash. NCCL may wait for all to leave, so whoever has more to do than fits leaves
    first. Where a fit fails nobody leaves: `torchrun` ends the others as soon as this process is gone.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

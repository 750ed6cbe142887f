"""The processes of a distributed run, as `torchrun` starts them: who leads, and how they part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed


def is_lead() -> bool:
    """Whether this process tracks, scores and writes; the others only take their share of every fit."""
    return os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    """How many processes fit together, 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def parting() -> Iterator[None]:
    """Leave the process group, which a fit has joined, once the work within is done.

    A process that ends as a member of it is now and then aborted by a thread of Gloo that nobody joined: with its
    work done and its status that of a crash. Where the work fails the group is left as it is: to leave it might
    mean to wait for the others, and `torchrun` ends them as soon as this process is gone.
    """
    yield
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

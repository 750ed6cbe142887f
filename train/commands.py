"""The commands of this folder, where the `stillwatch` command looks for them."""

from stillwatch.train.fetching import fetch
from stillwatch.train.registry import runs
from stillwatch.train.streams.commands import calibrate, campaigns, train_streams
from stillwatch.train.suites.command import evaluate
from stillwatch.train.suites.comparing import compare_evaluations as compare
from stillwatch.train.suites.pooling import pool
from stillwatch.train.suites.promoting import promote
from stillwatch.train.training import train

__all__ = [
    "calibrate",
    "campaigns",
    "compare",
    "evaluate",
    "fetch",
    "pool",
    "promote",
    "runs",
    "train",
    "train_streams",
]

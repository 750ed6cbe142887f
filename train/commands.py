"""The commands that need what training needs; `calibrate` and `fetch` are found apart, for they need less."""

from stillwatch.train.registry import runs
from stillwatch.train.streams.commands import campaigns, train_streams
from stillwatch.train.suites.command import evaluate
from stillwatch.train.suites.comparing import compare_evaluations as compare
from stillwatch.train.suites.pooling import pool
from stillwatch.train.suites.promoting import promote
from stillwatch.train.training import train

__all__ = [
    "campaigns",
    "compare",
    "evaluate",
    "pool",
    "promote",
    "runs",
    "train",
    "train_streams",
]

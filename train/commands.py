"""The commands of this folder, where the `stillwatch` command looks for them."""

from stillwatch.train.registry import promote, runs
from stillwatch.train.suites.command import evaluate
from stillwatch.train.training import train

__all__ = ["evaluate", "promote", "runs", "train"]

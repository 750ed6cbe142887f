"""What a tracking store tells back: runs, registered versions and promotions, as small frozen records.

Times are ISO 8601 in UTC. Nothing here knows which product keeps the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

TEST_PREFIX = "test/"
"""Figures that a promotion is judged by are logged under this prefix."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: `status` is RUNNING, FINISHED, FAILED or KILLED; `parent` the run it is a fold of."""

    id: str
    name: str
    experiment: str
    status: str
    started: str
    duration_s: float | None
    parent: str | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def test_figures(self) -> dict[str, float]:
        """The run's figures on held-out families, without their prefix."""
        return {
            key.removeprefix(TEST_PREFIX): value for key, value in self.metrics.items() if key.startswith(TEST_PREFIX)
        }

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A registered version of a bundle; `source` is where the store keeps its files."""

    name: str
    version: int
    aliases: tuple[str, ...]
    created: str
    run_id: str | None
    source: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """The address that `download_bundle` takes, such as `models:/stillwatch/3`."""
        return f"models:/{self.name}/{self.version}"

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return {**asdict(self), "uri": self.uri}


@dataclass(frozen=True, slots=True)
class Promotion:
    """An alias moved to a version, with the figures of both sides; `previous` is None when nobody held it."""

    name: str
    version: int
    alias: str
    previous: int | None
    figures: Mapping[str, float]
    previous_figures: Mapping[str, float]

    def to_json(self) -> dict[str, object]:
        """A JSON object with every field."""
        return asdict(self)

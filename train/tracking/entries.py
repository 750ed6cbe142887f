"""MLflow's runs and versions as records of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from stillwatch.train.ledger import RunRecord, VersionRecord


def record_run(run: Run, experiment: str) -> RunRecord:
    """A run of the named experiment."""
    ended = run.info.end_time
    return RunRecord(
        id=run.info.run_id,
        name=run.info.run_name,
        experiment=experiment,
        status=run.info.status,
        started=_iso(run.info.start_time),
        duration_s=(ended - run.info.start_time) / 1000 if ended else None,
        parent=run.data.tags.get("mlflow.parentRunId"),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
    )


def record_version(version: ModelVersion, aliases: Mapping[str, str | int]) -> VersionRecord:
    """A registered version, with those of its model's `aliases` that it holds."""
    number = int(version.version)
    return VersionRecord(
        name=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, held in aliases.items() if int(held) == number)),
        created=_iso(version.creation_timestamp),
        run_id=version.run_id,
        source=str(version.source),
        tags=dict(version.tags),
    )


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")

"""One run in a store: its settings, figures, data sets and files, and its bundle as a registered version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from matplotlib.figure import Figure
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.validation import (
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
    MAX_TAG_VAL_LENGTH,
)

from stillwatch.data.errors import TrackingError
from stillwatch.train.addresses import artifacts_beside
from stillwatch.train.dotted import cut, iter_dotted, to_text
from stillwatch.train.ledger import VersionRecord
from stillwatch.train.tracking.refusals import tell_refusals
from stillwatch.train.tracking.store import Store

_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # else the page shows a chat application

SHOWN_DIGEST = 16
"""Characters of a data set's digest in the page's tables; MLflow takes 36."""

Context = Literal["train", "validation", "test"]
"""What a data set is for in a run."""

Entry = TypeVar("Entry", Metric, Param, RunTag)


class Tracker:
    """One run in a store. Use it as a context manager: leaving it ends the run as finished, failed or killed.

    Args:
        store: where the run is.
        experiment_id: the experiment it belongs to.
        run_id: its id.
    """

    def __init__(self, store: Store, experiment_id: str, run_id: str) -> None:
        """Keep them; `Tracker.open` and `Tracker.open_child` make runs."""
        self.store, self.experiment_id, self.run_id = store, experiment_id, run_id

    @classmethod
    def open(cls, experiment: str, run_name: str, *, tracking_uri: str | None = None) -> Self:
        """Start a run, making the experiment when it is new.

        Args:
            experiment: name of the experiment.
            run_name: name of the run; it need not be unique.
            tracking_uri: as `Store.open`.

        Raises:
            TrackingError: when the store does not answer, or the experiment was deleted.
        """
        store = Store.open(tracking_uri)
        with tell_refusals(f"experiment {experiment} cannot be used", "give another name, or restore it if deleted"):
            found = store.client.get_experiment_by_name(experiment)
            key = (
                found.experiment_id
                if found
                else store.client.create_experiment(
                    experiment,
                    artifact_location=artifacts_beside(store.uri),
                    tags=_EXPERIMENT_TAGS,
                )
            )
            return cls(store, key, store.client.create_run(key, run_name=run_name).info.run_id)

    def open_child(self, run_name: str) -> Self:
        """Start a run below this one, such as a fold."""
        with tell_refusals(f"run {run_name} cannot be started", "look at the tracking store"):
            run = self.store.client.create_run(
                self.experiment_id, run_name=run_name, tags={"mlflow.parentRunId": self.run_id}
            )
        return type(self)(self.store, self.experiment_id, run.info.run_id)

    def __enter__(self) -> Self:
        """The tracker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run: FINISHED, FAILED after an error, KILLED after an interrupt."""
        status = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        with tell_refusals("the run cannot be ended", "look at the tracking store"):
            self.store.client.set_terminated(self.run_id, status)

    @property
    def page(self) -> str | None:
        """The address of the run's page; None for a store without a server."""
        if not self.store.uri.startswith("http"):
            return None
        return (
            f"{self.store.address}/#/experiments/{self.experiment_id}/runs/{self.run_id}?workflowType=machine_learning"
        )

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log nested settings under dotted names, `fit.learning_rate`; an over-long value is cut and says so.

        Raises:
            TrackingError: when a name was logged before with another value.
        """
        flat = [Param(key, cut(value, MAX_PARAM_VAL_LENGTH)) for key, value in iter_dotted(params)]
        with tell_refusals("parameters cannot be logged", "log each name once in a run"):
            for part in _iter_parts(flat, MAX_PARAMS_TAGS_PER_BATCH):
                self.store.client.log_batch(self.run_id, params=part)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log figures at a step; a name may hold letters, digits, spaces and any of `_-.:/`."""
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        entries = [Metric(key, float(value), now_ms, step) for key, value in metrics.items()]
        with tell_refusals("metrics cannot be logged", "use letters, digits and _-.:/ in names"):
            for part in _iter_parts(entries, MAX_METRICS_PER_BATCH):
                self.store.client.log_batch(self.run_id, metrics=part)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags of the run; an over-long value is cut and says so."""
        entries = [RunTag(key, cut(to_text(value), MAX_TAG_VAL_LENGTH)) for key, value in tags.items()]
        with tell_refusals("tags cannot be set", "use letters, digits and _-.:/ in names"):
            for part in _iter_parts(entries, MAX_PARAMS_TAGS_PER_BATCH):
                self.store.client.log_batch(self.run_id, tags=part)

    def log_dataset(self, name: str, digest: str, counts: Mapping[str, int], context: Context) -> None:
        """Log a data set that the run read, by our own digest.

        Args:
            name: what it is called.
            digest: hash of its records; the page shows the first 16 characters, the source holds all.
            counts: records by whatever they are counted by.
            context: what it was read for.
        """
        dataset = Dataset(
            name=name,
            digest=digest[:SHOWN_DIGEST],
            source_type="stillwatch",
            source=json.dumps({"digest": digest}),
            profile=json.dumps(dict(counts)),
        )
        tags = [InputTag("mlflow.data.context", context)]
        with tell_refusals(f"data set {name} cannot be logged", "look at the tracking store"):
            self.store.client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def log_figure(self, figure: Figure, path: str) -> None:
        """Keep a figure as an image under `path`, such as `plots/roc.png`."""
        with tell_refusals(f"figure {path} cannot be kept", "look at the tracking store"):
            self.store.client.log_figure(self.run_id, figure, path)

    def log_text(self, text: str, path: str) -> None:
        """Keep a text under `path`, such as `config.yaml`."""
        with tell_refusals(f"text {path} cannot be kept", "look at the tracking store"):
            self.store.client.log_text(self.run_id, text, path)

    def log_json(self, value: object, path: str) -> None:
        """Keep a value as JSON under `path`."""
        self.log_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", path)

    def log_folder(self, folder: Path, path: str) -> None:
        """Keep all files of a folder below `path`, such as `bundle`."""
        with tell_refusals(f"folder {folder} cannot be kept", "look at the folder and the tracking store"):
            self.store.client.log_artifacts(self.run_id, str(folder), path)

    def register(
        self,
        name: str,
        bundle: str,
        *,
        aliases: Sequence[str] = ("challenger",),
        tags: Mapping[str, object] | None = None,
    ) -> VersionRecord:
        """Register a folder that this run keeps as the next version of a model.

        Args:
            name: the registered model; it is made when it is new.
            bundle: the folder's path in the run, as given to `log_folder`.
            aliases: aliases that the version takes, from whoever had them.
            tags: tags of the version.

        Raises:
            TrackingError: when the run keeps no such folder or the name is refused.
        """
        client = self.store.client
        with tell_refusals(f"{name} cannot be registered", "use letters, digits, dots and dashes in the name"):
            if not client.list_artifacts(self.run_id, bundle):
                raise TrackingError(f"the run keeps no files below {bundle}; log_folder comes first")
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            version = client.create_model_version(
                name,
                source=f"runs:/{self.run_id}/{bundle}",
                run_id=self.run_id,
                tags={key: to_text(value) for key, value in (tags or {}).items()},
            )
            for alias in aliases:
                client.set_registered_model_alias(name, alias, str(version.version))
        return next(one for one in self.store.list_versions(name) if one.version == int(version.version))


def _iter_parts(entries: Sequence[Entry], size: int) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]

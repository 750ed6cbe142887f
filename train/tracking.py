"""The one file that imports MLflow: runs, their figures and files, and the registry of bundles.

Where: the argument, else `MLFLOW_TRACKING_URI`, else the SQLite file `runs/mlflow.db` below the working
folder, with artifacts beside it. A server is used in the same way and nothing else changes. Every call names
its store; MLflow's process-wide state is left alone. A bundle is registered as the plain files it is, without
pickle; one of them, `MLmodel`, makes it a pyfunc for whoever wants one.

A store that fails ends the run with a `TrackingError`; nothing is kept back to be sent later. MLflow itself
tries a failing HTTP request again for about four minutes, except the first.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

# MLflow reads these while it is imported; whoever has set them keeps what they set.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from matplotlib.figure import Figure
from mlflow.artifacts import download_artifacts
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.validation import (
    MAX_METRICS_PER_BATCH,
    MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
    MAX_TAG_VAL_LENGTH,
)
from sqlalchemy.exc import SQLAlchemyError

from stillwatch.data.errors import TrackingError
from stillwatch.train.addresses import artifacts_beside, ask_once, check_database, choose_store, hide_password
from stillwatch.train.dotted import cut, iter_dotted, to_text
from stillwatch.train.ledger import RunRecord, VersionRecord

_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # else the page shows a chat application

SHOWN_DIGEST = 16
"""Characters of a data set's digest in the page's tables; MLflow takes 36."""

Context = Literal["train", "validation", "test"]
"""What a data set is for in a run."""

Entry = TypeVar("Entry", Metric, Param, RunTag)


class Store:
    """A tracking store with its registry, opened and known to answer.

    Args:
        uri: where it is.
        client: MLflow's client of that place.
    """

    def __init__(self, uri: str, client: MlflowClient) -> None:
        """Keep both; `Store.open` checks."""
        self.uri, self.client = uri, client

    @classmethod
    def open(cls, tracking_uri: str | None = None) -> Self:
        """Open a store and ask it one thing.

        Args:
            tracking_uri: `http://...`, `sqlite:///...` or any other database that MLflow takes.

        Raises:
            TrackingError: when it does not answer within `FIRST_CALL_TIMEOUT_S`.
        """
        uri = choose_store(tracking_uri)
        remedy = "start it, or set MLFLOW_TRACKING_URI to http://HOST:PORT or sqlite:///FILE"
        with ask_once(), _refusals(f"tracking store {hide_password(uri)} cannot be used", remedy):
            check_database(uri)
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
        return cls(uri, client)

    @property
    def address(self) -> str:
        """Where it is, fit to be shown: without a password."""
        return hide_password(self.uri).rstrip("/")

    def list_runs(self, experiment: str | None = None, *, max_runs: int = 50) -> list[RunRecord]:
        """The latest runs, newest first.

        Args:
            experiment: name of one experiment; all of them when left out.
            max_runs: at most so many.

        Raises:
            TrackingError: when there is no such experiment.
        """
        with _refusals("runs cannot be listed", "look at the tracking store"):
            names = {found.experiment_id: found.name for found in self.client.search_experiments()}
            chosen = [key for key, name in names.items() if experiment in (None, name)]
            if not chosen and experiment is not None:
                raise TrackingError(f"experiment {experiment} is unknown; give one of {', '.join(names.values())}")
            runs = self.client.search_runs(chosen, max_results=max_runs, order_by=["attributes.start_time DESC"])
        return [_record_run(run, names[run.info.experiment_id]) for run in runs]

    def get_run(self, run_id: str) -> RunRecord:
        """One run by its id or the first characters of it.

        Raises:
            TrackingError: when no run, or more than one, answers to it.
        """
        with _refusals(f"run {run_id} cannot be read", "list the runs with `stillwatch runs list`"):
            names = {found.experiment_id: found.name for found in self.client.search_experiments()}
            found = self.client.search_runs(list(names), max_results=2, filter_string=f"run_id LIKE '{run_id}%'")
            if len(found) != 1:
                raise TrackingError(f"{len(found) or 'no'} runs begin with {run_id}; give more of the id")
            return _record_run(found[0], names[found[0].info.experiment_id])

    def list_versions(self, name: str | None = None) -> list[VersionRecord]:
        """Registered versions, newest first, with their aliases.

        Args:
            name: one registered model; all of them when left out.
        """
        with _refusals("versions cannot be listed", "look at the tracking store"):
            models = [self.client.get_registered_model(name)] if name else self.client.search_registered_models()
            return [
                _record_version(version, model.aliases)
                for model in models
                for version in self.client.search_model_versions(f"name = '{model.name}'")
            ]

    def tag_version(self, name: str, version: int, tags: Mapping[str, object], *, remove: Sequence[str] = ()) -> None:
        """Set tags of a registered version and take the tags `remove` away; an over-long value is cut and says so."""
        with _refusals(f"{name} version {version} cannot be tagged", "look at the tracking store; try again"):
            for key, value in tags.items():
                text = cut(to_text(value), MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH)
                self.client.set_model_version_tag(name, str(version), key, text)
            for key in remove:
                self.client.delete_model_version_tag(name, str(version), key)

    def move_alias(self, name: str, version: int, alias: str) -> None:
        """Give a registered version an alias, taking it from whoever had it."""
        with _refusals(f"{name} version {version} cannot be {alias}", "the alias stays where it was; try again"):
            self.client.set_registered_model_alias(name, alias, str(version))

    def download_bundle(self, uri: str, folder: Path) -> Path:
        """Copy the files of a registered version, or of a run's folder, to a folder that is new or empty.

        Args:
            uri: `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `runs:/RUN/PATH`.
            folder: where the files shall lie.

        Returns:
            `folder`.

        Raises:
            TrackingError: when the address leads nowhere or the folder holds files.
        """
        if folder.exists() and any(folder.iterdir()):
            raise TrackingError(f"folder {folder} holds files; give a new or an empty one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        remedy = "give models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/PATH"
        with (
            tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
            _refusals(f"{uri} cannot be read", remedy),
        ):
            source = self._locate(uri)
            fetched = download_artifacts(artifact_uri=source, dst_path=scratch, tracking_uri=self.uri)
            if folder.exists():
                folder.rmdir()
            shutil.move(fetched, folder)
        return folder

    def read_text(self, run_id: str, path: str) -> str:
        """The text that a run keeps under `path`, such as `evaluation.json`.

        Raises:
            TrackingError: the run keeps none.
        """
        with (
            tempfile.TemporaryDirectory() as scratch,
            _refusals(f"{path} of run {run_id[:8]} cannot be read", "look at the tracking store"),
        ):
            if path not in {file.path for file in self.client.list_artifacts(run_id)}:
                raise TrackingError(f"run {run_id[:8]} keeps no {path}; name a run that does")
            return Path(self.client.download_artifacts(run_id, path, scratch)).read_text("utf-8")

    def _locate(self, uri: str) -> str:
        # MLflow resolves models:/ in the process-wide store, which may be another than this one.
        path = uri.removeprefix("models:/")
        if path == uri:
            return uri
        name, at, alias = path.partition("@")
        if at:
            version = self.client.get_model_version_by_alias(name, alias).version
        else:
            name, _, version = path.partition("/")
        return self.client.get_model_version_download_uri(name, str(version))


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
        with _refusals(f"experiment {experiment} cannot be used", "give another name, or restore it if deleted"):
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
        with _refusals(f"run {run_name} cannot be started", "look at the tracking store"):
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
        with _refusals("the run cannot be ended", "look at the tracking store"):
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
        with _refusals("parameters cannot be logged", "log each name once in a run"):
            for part in _iter_parts(flat, MAX_PARAMS_TAGS_PER_BATCH):
                self.store.client.log_batch(self.run_id, params=part)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log figures at a step; a name may hold letters, digits, spaces and any of `_-.:/`."""
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        entries = [Metric(key, float(value), now_ms, step) for key, value in metrics.items()]
        with _refusals("metrics cannot be logged", "use letters, digits and _-.:/ in names"):
            for part in _iter_parts(entries, MAX_METRICS_PER_BATCH):
                self.store.client.log_batch(self.run_id, metrics=part)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags of the run; an over-long value is cut and says so."""
        entries = [RunTag(key, cut(to_text(value), MAX_TAG_VAL_LENGTH)) for key, value in tags.items()]
        with _refusals("tags cannot be set", "use letters, digits and _-.:/ in names"):
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
        with _refusals(f"data set {name} cannot be logged", "look at the tracking store"):
            self.store.client.log_inputs(self.run_id, [DatasetInput(dataset, tags)])

    def log_figure(self, figure: Figure, path: str) -> None:
        """Keep a figure as an image under `path`, such as `plots/roc.png`."""
        with _refusals(f"figure {path} cannot be kept", "look at the tracking store"):
            self.store.client.log_figure(self.run_id, figure, path)

    def log_text(self, text: str, path: str) -> None:
        """Keep a text under `path`, such as `config.yaml`."""
        with _refusals(f"text {path} cannot be kept", "look at the tracking store"):
            self.store.client.log_text(self.run_id, text, path)

    def log_json(self, value: object, path: str) -> None:
        """Keep a value as JSON under `path`."""
        self.log_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", path)

    def log_folder(self, folder: Path, path: str) -> None:
        """Keep all files of a folder below `path`, such as `bundle`."""
        with _refusals(f"folder {folder} cannot be kept", "look at the folder and the tracking store"):
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
        with _refusals(f"{name} cannot be registered", "use letters, digits, dots and dashes in the name"):
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


@contextmanager
def _refusals(what: str, remedy: str) -> Iterator[None]:
    """Turn a failure of the store into a `TrackingError`: what failed, the store's reason, the remedy."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise TrackingError(f"{what}: {_reason(error)}; {remedy}") from error


def _reason(error: Exception) -> str:
    """MLflow's code of a failure, or the name of the error; its text may hold addresses and passwords."""
    if isinstance(error, MlflowException):
        unreachable = "API request to" in str(error)
        return "no answer" if unreachable else str(error.error_code).lower().replace("_", " ")
    return type(error).__name__


def _iter_parts(entries: Sequence[Entry], size: int) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")


def _record_run(run: Run, experiment: str) -> RunRecord:
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


def _record_version(version: ModelVersion, aliases: Mapping[str, str | int]) -> VersionRecord:
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

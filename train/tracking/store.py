"""A tracking store with its registry: what is in it, aliases and tags of versions, and files fetched back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient
from mlflow.utils.validation import MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH

from stillwatch.data.errors import TrackingError
from stillwatch.train.addresses import ask_once, check_database, choose_store, hide_password
from stillwatch.train.dotted import cut, to_text
from stillwatch.train.ledger import RunRecord, VersionRecord
from stillwatch.train.tracking.entries import record_run, record_version
from stillwatch.train.tracking.refusals import tell_refusals


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
        with ask_once(), tell_refusals(f"tracking store {hide_password(uri)} cannot be used", remedy):
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
        with tell_refusals("runs cannot be listed", "look at the tracking store"):
            names = {found.experiment_id: found.name for found in self.client.search_experiments()}
            chosen = [key for key, name in names.items() if experiment in (None, name)]
            if not chosen and experiment is not None:
                raise TrackingError(f"experiment {experiment} is unknown; give one of {', '.join(names.values())}")
            runs = self.client.search_runs(chosen, max_results=max_runs, order_by=["attributes.start_time DESC"])
        return [record_run(run, names[run.info.experiment_id]) for run in runs]

    def get_run(self, run_id: str) -> RunRecord:
        """One run by its id or the first characters of it.

        Raises:
            TrackingError: when no run, or more than one, answers to it.
        """
        with tell_refusals(f"run {run_id} cannot be read", "list the runs with `stillwatch runs list`"):
            names = {found.experiment_id: found.name for found in self.client.search_experiments()}
            found = self.client.search_runs(list(names), max_results=2, filter_string=f"run_id LIKE '{run_id}%'")
            if len(found) != 1:
                raise TrackingError(f"{len(found) or 'no'} runs begin with {run_id}; give more of the id")
            return record_run(found[0], names[found[0].info.experiment_id])

    def list_versions(self, name: str | None = None) -> list[VersionRecord]:
        """Registered versions, newest first, with their aliases.

        Args:
            name: one registered model; all of them when left out.
        """
        with tell_refusals("versions cannot be listed", "look at the tracking store"):
            models = [self.client.get_registered_model(name)] if name else self.client.search_registered_models()
            return [
                record_version(version, model.aliases)
                for model in models
                for version in self.client.search_model_versions(f"name = '{model.name}'")
            ]

    def tag_version(self, name: str, version: int, tags: Mapping[str, object], *, remove: Sequence[str] = ()) -> None:
        """Set tags of a registered version and take the tags `remove` away; an over-long value is cut and says so."""
        with tell_refusals(f"{name} version {version} cannot be tagged", "look at the tracking store; try again"):
            for key, value in tags.items():
                text = cut(to_text(value), MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH)
                self.client.set_model_version_tag(name, str(version), key, text)
            for key in remove:
                self.client.delete_model_version_tag(name, str(version), key)

    def move_alias(self, name: str, version: int, alias: str) -> None:
        """Give a registered version an alias, taking it from whoever had it."""
        with tell_refusals(f"{name} version {version} cannot be {alias}", "the alias stays where it was; try again"):
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
            tell_refusals(f"{uri} cannot be read", remedy),
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
            tell_refusals(f"{path} of run {run_id[:8]} cannot be read", "look at the tracking store"),
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

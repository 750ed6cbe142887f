"""Finds an evaluation by what a person calls it: a file, a tracked run, or a registered version whose run keeps one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from stillwatch.data.errors import InputError, TrackingError
from stillwatch.train.suites.evaluation import Evaluation

if TYPE_CHECKING:
    from stillwatch.train.ledger import VersionRecord
    from stillwatch.train.tracking import Store

EVALUATION = "evaluation.json"
"""The artifact of a run that holds its evaluation."""

_REGISTRY = "models:/"


def load_evaluation(reference: str) -> Evaluation:
    """The evaluation that a reference leads to.

    Args:
        reference: a JSON file, `models:/NAME/VERSION`, `models:/NAME@ALIAS`, or the id of a run or its beginning.

    Raises:
        InputError: a file is no evaluation.
        TrackingError: the store does not answer, or knows no such run or version, or the run keeps no evaluation.
    """
    path = Path(reference)
    if path.is_file() or path.suffix == ".json":
        return Evaluation.load(path)
    from stillwatch.train.tracking import Store

    store = Store.open()
    if reference.startswith(_REGISTRY):
        return load_of_version(store, find_version(store, reference))
    return _load_of_run(store, store.get_run(reference).id)


def load_of_version(store: Store, version: VersionRecord) -> Evaluation:
    """The evaluation that the run of a registered version keeps.

    Raises:
        InputError: what it keeps is no evaluation, or one of another format.
        TrackingError: it has no run, or the run keeps no evaluation.
    """
    if version.run_id is None:
        raise TrackingError(f"{version.name} version {version.version} has no run; evaluate it on rows of your own")
    return _load_of_run(store, version.run_id)


def find_version(store: Store, uri: str) -> VersionRecord:
    """The registered version of `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises:
        TrackingError: there is none.
    """
    name, at, alias = uri.removeprefix(_REGISTRY).partition("@")
    name, _, number = (name, "", "") if at else name.rpartition("/")
    for version in store.list_versions(name) if name else []:
        if alias in version.aliases if at else str(version.version) == number:
            return version
    raise TrackingError(f"{uri} is no registered version; give models:/NAME/VERSION or models:/NAME@ALIAS")


def _load_of_run(store: Store, run_id: str) -> Evaluation:
    where = f"run {run_id[:8]}: {EVALUATION}"
    try:
        value = json.loads(store.read_text(run_id, EVALUATION))
    except json.JSONDecodeError as error:
        raise InputError("file", "not readable as JSON", "evaluate again", where) from error
    return Evaluation.from_json(value, where)

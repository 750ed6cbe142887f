"""Where tracking stores are: the default one, whether a database answers, and an address fit to be shown.

Nothing here knows which product keeps the store, but for the names of its settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import create_engine, inspect

DEFAULT_STORE = Path("runs") / "mlflow.db"
"""The SQLite file used when nothing else is asked for, below the working folder."""

FIRST_CALL_TIMEOUT_S = 10
"""How long a store may take to answer at all."""

_SQLITE = "sqlite:///"


def choose_store(tracking_uri: str | None = None) -> str:
    """The address to use: the argument, else `MLFLOW_TRACKING_URI`, else `DEFAULT_STORE`."""
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{DEFAULT_STORE.resolve()}"


def artifacts_beside(uri: str) -> str | None:
    """The folder `artifacts` beside a SQLite file; None for a server, which knows its own place."""
    file = uri.removeprefix(_SQLITE)
    return None if file == uri else (Path(file).resolve().parent / "artifacts").as_uri()


def check_database(uri: str) -> None:
    """Ask a database once, making the folder of a SQLite file: MLflow asks ten times, for two minutes.

    Raises:
        SQLAlchemyError: it does not answer, or is no database.
        ImportError: its driver is not installed.
        OSError: the folder cannot be made.
    """
    if "sql" not in urlsplit(uri).scheme:
        return
    if uri.startswith(_SQLITE):
        Path(uri.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(uri)
    inspect(engine).get_table_names()
    engine.dispose()


def hide_password(uri: str) -> str:
    """An address without its user and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.username or ''}:{parts.password}@", "") if parts.password else uri


@contextmanager
def ask_once() -> Iterator[None]:
    """Within it, MLflow asks a server once and waits a little; outside, it tries again for minutes."""
    ours = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(FIRST_CALL_TIMEOUT_S)}
    added = {key: value for key, value in ours.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            del os.environ[key]

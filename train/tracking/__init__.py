"""The one room that imports MLflow: runs, their figures and files, and the registry of bundles.

Where: the argument, else `MLFLOW_TRACKING_URI`, else the SQLite file `runs/mlflow.db` below the working
folder, with artifacts beside it. A server is used in the same way and nothing else changes. Every call names
its store; MLflow's process-wide state is left alone. A bundle is registered as the plain files it is, without
pickle; one of them, `MLmodel`, makes it a pyfunc for whoever wants one.

A store that fails ends the run with a `TrackingError`; nothing is kept back to be sent later. MLflow itself
tries a failing HTTP request again for about four minutes, except the first.

This page is the door: it settles how MLflow behaves before any page of the room imports it.
"""

from __future__ import annotations

import os

# MLflow reads these while it is imported; whoever has set them keeps what they set.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from stillwatch.train.tracking.store import Store
from stillwatch.train.tracking.tracker import Context, Tracker

__all__ = ["Context", "Store", "Tracker"]

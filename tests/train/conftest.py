"""One real tracking store for all tests that need one: making its tables takes longer than any test."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store that all tests of a worker share: use an experiment and a model name of your own."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"

"""What a store refuses, told as a `TrackingError`: what failed, the store's reason, the remedy.

MLflow's own text stays out of it: it may hold addresses and passwords.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from stillwatch.data.errors import TrackingError


@contextmanager
def tell_refusals(what: str, remedy: str) -> Iterator[None]:
    """Turn a failure of the store inside the block into a `TrackingError`.

    Args:
        what: failed, such as `tags cannot be set`.
        remedy: what to do about it.

    Raises:
        TrackingError: the block failed.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise TrackingError(f"{what}: {_reason(error)}; {remedy}") from error


def _reason(error: Exception) -> str:
    """MLflow's code of a failure, or the name of the error."""
    if isinstance(error, MlflowException):
        unreachable = "API request to" in str(error)
        return "no answer" if unreachable else str(error.error_code).lower().replace("_", " ")
    return type(error).__name__

"""A bundle as MLflow's `python_function`: a table of requests in, a table of verdicts out. Imports neither of them.

Each request is judged alone: accounts are followed by the service, which keeps their states. A row that cannot be read
is answered in its place, for review and with its error, so that one of them does not end a job over millions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.lines import decode_row
from stillwatch.model.calibration import Action
from stillwatch.model.mlmodel import OUTPUT_COLUMNS, REQUEST_COLUMN
from stillwatch.model.scorer import Scorer


class ScoringFunction:
    """What MLflow calls; thread-safe."""

    def __init__(self, scorer: Scorer) -> None:
        """Score with a scorer."""
        self._scorer = scorer

    def predict(self, model_input: Any) -> Any:
        """Verdicts on the column `request`.

        Args:
            model_input: a pandas DataFrame with JSON text in that column.

        Returns:
            a DataFrame with the same index and the columns of `OUTPUT_COLUMNS`; `reasons` are codes, with blanks
            between them, and `error` is empty where there is a verdict. Where there is none, numbers are None.
        """
        rows = self.score_rows(model_input[REQUEST_COLUMN])
        columns = {name: np.array([row[name] for row in rows], dtype=object) for name in OUTPUT_COLUMNS}
        return model_input[[]].assign(**columns)

    def score_rows(self, texts: Iterable[object]) -> list[dict[str, object]]:
        """A row of `OUTPUT_COLUMNS` for each text, in order."""
        return [self._score(text) for text in texts]

    def _score(self, text: object) -> dict[str, object]:
        row: dict[str, object] = dict.fromkeys(OUTPUT_COLUMNS) | {"model_version": self._scorer.bundle.version}
        try:
            verdict = self._scorer.score(_read(text))
        except InputError as error:
            return row | {"action": Action.REVIEW.value, "technique": "", "reasons": "", "error": str(error)}
        technique, share = max(verdict.techniques.items(), key=lambda each: each[1])
        return row | {
            "action": verdict.action.value,
            "probability": verdict.probability,
            "logit": verdict.logit,
            "technique": technique,
            "technique_probability": share,
            "reasons": " ".join(verdict.reasons),
            "error": "",
        }


def _read(text: object) -> Mapping[str, object]:
    if not isinstance(text, str):
        raise InputError(REQUEST_COLUMN, kind_of(text), "send the JSON text of a request")
    found = decode_row(text.encode("utf-8", "surrogatepass"), REQUEST_COLUMN)
    if isinstance(found, InputError):
        raise found
    return found


def _load_pyfunc(data_path: str) -> ScoringFunction:
    """Load a bundle; MLflow calls this by its name, as `MLmodel` says.

    Raises:
        BundleError: the bundle is incomplete, changed, or of another format.
    """
    return ScoringFunction(Scorer.load(Path(data_path)))

"""Scikit-learn pipelines as systems, read from `.skops` files: no pickle, and no type that was not looked at.

A pipeline takes `model.render.render_text` of each request and gives `predict_proba` or `decision_function`. Save one
with `skops.io.dump(pipeline, "NAME.skops")`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stillwatch.data.errors import InputError, SourceError, kind_of
from stillwatch.data.records import Request
from stillwatch.model.render import render_text
from stillwatch.train.suites.systems import Options, Scored

ALLOWED_TYPES = frozenset({"sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"})
"""Types read beside those that skops trusts: both hold numbers and estimators, and run nothing when they are made.

Not here: `sklearn.tree._tree.Tree` and the predictors of histogram boosting, whose compiled code follows the indices of
a file without checking each, and every function.
"""

_POSITIVE = ("extraction", "true", "1")
_REQUESTS_AT_ONCE = 256


class PipelineSystem:
    """A fitted pipeline with two classes."""

    kind = "sklearn"
    reads_text = True
    carried = ()
    learnt_families = None

    def __init__(self, pipeline: Any, name: str, version: str, positive_label: str | None = None) -> None:
        """Find which class is extraction.

        Raises:
            InputError: it has not two classes, none of them is known to be extraction, or it gives no score.
        """
        self._pipeline, self.name, self.version = pipeline, name, version
        self.has_probabilities = hasattr(pipeline, "predict_proba")
        if not self.has_probabilities and not hasattr(pipeline, "decision_function"):
            raise InputError("model", f"a {type(pipeline).__name__} without scores", "give a classifier that is fitted")
        classes = [str(each).lower() for each in getattr(pipeline, "classes_", ())]
        wanted = _POSITIVE if positive_label is None else (positive_label.lower(),)
        found = [place for place, label in enumerate(classes) if label in wanted]
        if len(classes) != 2 or len(found) != 1:
            raise InputError(
                "classes_",
                f"{len(classes)} classes, {len(found)} of them extraction",
                "fit on two labels, and name the one of extraction with --positive-label",
            )
        self._positive = found[0]
        self.notes = () if self.has_probabilities else ("scores are decision values, not probabilities",)

    def score(self, requests: Sequence[Request], on_progress: Callable[[int], None] | None = None) -> Scored:
        """See `System.score`."""
        parts = []
        for start in range(0, len(requests), _REQUESTS_AT_ONCE):
            texts = [render_text(request) for request in requests[start : start + _REQUESTS_AT_ONCE]]
            if self.has_probabilities:
                parts.append(np.asarray(self._pipeline.predict_proba(texts), np.float64)[:, self._positive])
            else:
                values = np.asarray(self._pipeline.decision_function(texts), np.float64)
                parts.append(values if self._positive == 1 else -values)
            if on_progress is not None:
                on_progress(len(texts))
        return Scored(np.concatenate(parts))


def open_pipeline(path: Path, options: Options) -> PipelineSystem:
    """Read a `.skops` file.

    Raises:
        SourceError: it is missing, no skops file, or holds a type that is not allowed.
        InputError: it holds no classifier with two classes.
    """
    import skops.io

    try:
        content = path.read_bytes()
        unknown = set(skops.io.get_untrusted_types(data=content)) - ALLOWED_TYPES
        if unknown:
            raise SourceError(
                f"{path.name}: holds {len(unknown)} types that are not read here, such as {min(unknown)}; "
                "build the pipeline of scikit-learn's linear, naive Bayes or neighbour models"
            )
        pipeline = skops.io.loads(content, trusted=sorted(ALLOWED_TYPES))
    except OSError as error:
        raise SourceError(f"{path.name}: cannot be opened ({error.strerror}); name a file that is there") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise SourceError(f"{path.name}: not readable by skops; write it with skops.io.dump") from error
    if not hasattr(pipeline, "predict"):
        raise InputError("model", kind_of(pipeline), "give a fitted scikit-learn pipeline")
    version = hashlib.sha256(content).hexdigest()[:12]
    return PipelineSystem(pipeline, path.stem, version, options.positive_label)

"""Our own bundles as systems: a folder, the one that ships, or a version from the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stillwatch.data.records import Request
from stillwatch.model.calibration import sigmoid
from stillwatch.model.scorer import Scorer
from stillwatch.train.suites.systems import REGISTRY, Carried, Options, Scored

FAMILIES = "families"
"""The entry of a manifest's `trained` that names the families learnt, separated by line ends."""

_ORIGINS = {
    "validation": "its validation families",
    "test": "its test rows, where their false-alarm rates hold by construction",
}
_REQUESTS_AT_ONCE = 32


class BundleSystem:
    """A bundle behind the scorer that the gateway calls; its scores are calibrated probabilities."""

    has_probabilities = True
    reads_text = True

    def __init__(self, scorer: Scorer, name: str, kind: str) -> None:
        """Keep the scorer."""
        self._scorer, self.name, self.kind = scorer, name, kind
        self.version = scorer.bundle.version
        families = scorer.bundle.manifest.trained.get(FAMILIES)
        self.learnt_families = None if families is None else frozenset(families.split("\n"))
        calibration = scorer.bundle.calibration
        self.carried = (
            Carried("review", sigmoid(calibration.review_logit), calibration.review_fpr),
            Carried("flag", sigmoid(calibration.flag_logit), calibration.flag_fpr),
        )
        self.notes = (
            f"its probability and thresholds rest on {calibration.num_benign:,} benign and "
            f"{calibration.num_extraction:,} extraction requests of {_ORIGINS[calibration.fitted_on]}",
        )

    def score(self, requests: Sequence[Request], on_progress: Callable[[int], None] | None = None) -> Scored:
        """See `System.score`."""
        scores, techniques = np.empty(len(requests)), []
        for start in range(0, len(requests), _REQUESTS_AT_ONCE):
            part = requests[start : start + _REQUESTS_AT_ONCE]
            verdicts = self._scorer.score_many(part)
            scores[start : start + len(part)] = [verdict.probability for verdict in verdicts]
            techniques += [max(v.techniques, key=v.techniques.__getitem__) for v in verdicts]
            if on_progress is not None:
                on_progress(len(part))
        return Scored(scores, tuple(techniques))


def open_bundle(folder: Path | None, options: Options) -> BundleSystem:
    """A bundle's folder; None is the one that ships.

    Raises:
        BundleError: it is incomplete, changed or of another format.
    """
    scorer = Scorer.load(folder, num_threads=options.num_threads)
    return BundleSystem(scorer, scorer.bundle.version, "bundle")


def open_registered(uri: str, options: Options) -> BundleSystem:
    """A registered version, fetched for as long as loading takes.

    Args:
        uri: `models:/NAME/VERSION` or `models:/NAME@ALIAS`.
        options: see `Options`.

    Raises:
        TrackingError: the registry does not answer or has no such version.
        BundleError: what it has is no bundle that this release reads.
    """
    from stillwatch.train.tracking import Store

    with TemporaryDirectory() as scratch:
        folder = Store.open().download_bundle(uri, Path(scratch) / "bundle")
        scorer = Scorer.load(folder, num_threads=options.num_threads)
    return BundleSystem(scorer, uri.removeprefix(REGISTRY), "registry")

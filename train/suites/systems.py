"""What can be evaluated: anything that gives a request a score, opened by its address.

An address is a bundle's folder, `default` (the bundle that ships), a registry URI (`models:/NAME/VERSION`,
`models:/NAME@ALIAS`), a `.skops` file, a folder or hub id of a Hugging Face text classifier, or a `.csv` of scores.
Nothing is unpickled and no remote code runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.records import Request
from stillwatch.model.bundle import MANIFEST

Scores = NDArray[np.float64]

DEFAULT = "default"
"""The address of the bundle that ships with the package."""

REGISTRY = "models:/"
"""What a registry URI begins with."""

_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".bin", ".sav", ".cloudpickle")


@dataclass(frozen=True, slots=True)
class Carried:
    """A threshold that a system brings along: its name, its place on the scale of the scores, the promised FPR."""

    name: str
    threshold: float
    promised_fpr: float


@dataclass(frozen=True, slots=True)
class Scored:
    """What a system says of requests.

    Attributes:
        scores: higher for extraction, finite, shape (requests,).
        techniques: the most probable technique of each; None for a system that names none.
    """

    scores: Scores
    techniques: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How systems are opened.

    Attributes:
        num_threads: threads inside one call.
        positive_label: the label that means extraction, for classifiers whose labels do not say so.
    """

    num_threads: int = 1
    positive_label: str | None = None


class System(Protocol):
    """Scores requests. Read-only after it is opened; the same request gets the same score every time."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def kind(self) -> str:
        """`bundle`, `registry`, `sklearn`, `transformers` or `scores`."""
        ...

    @property
    def version(self) -> str:
        """The bundle's version, or a digest of the files."""
        ...

    @property
    def has_probabilities(self) -> bool:
        """Whether the scores are probabilities of extraction, by the system's own claim."""
        ...

    @property
    def reads_text(self) -> bool:
        """Whether it can score a request that it has not been given before."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its figures must know."""
        ...

    @property
    def carried(self) -> tuple[Carried, ...]:
        """Thresholds that it brings along."""
        ...

    @property
    def learnt_families(self) -> frozenset[str] | None:
        """The families that it was trained on; None when it does not say."""
        ...

    def score(self, requests: Sequence[Request], on_progress: Callable[[int], None] | None = None) -> Scored:
        """Score requests, in order.

        Args:
            requests: at least one.
            on_progress: called with the number of requests done since the last call.

        Raises:
            InputError: a request has no score and none can be made.
        """
        ...


def open_system(address: str, options: Options = Options()) -> System:
    """Open whatever an address leads to.

    Raises:
        SourceError: it leads nowhere, or to something that is not read here, such as a pickle.
        BundleError: a bundle is incomplete, changed or of another format.
        TrackingError: the registry does not answer or has no such version.
        InputError: a file of scores or a classifier cannot be used as it is.
    """
    path = Path(address).expanduser()
    if address.startswith(REGISTRY):
        from stillwatch.train.suites.bundles import open_registered

        return open_registered(address, options)
    if address == DEFAULT or (path / MANIFEST).is_file():
        from stillwatch.train.suites.bundles import open_bundle

        return open_bundle(None if address == DEFAULT else path, options)
    if path.suffix == ".skops":
        from stillwatch.train.suites.pipelines import open_pipeline

        return open_pipeline(path, options)
    if path.suffix == ".csv":
        from stillwatch.train.suites.score_files import open_scores

        return open_scores(path)
    if path.suffix in _PICKLES:
        raise SourceError(
            f"{path.name}: pickled models are not read, for they can run any code; "
            "save a scikit-learn pipeline with skops.io.dump(pipeline, 'NAME.skops'), a network as safetensors"
        )
    if path.exists() and not (path / "config.json").is_file():
        raise SourceError(
            f"{path.name}: neither a bundle ({MANIFEST}), a Hugging Face classifier (config.json), a .skops file nor a "
            ".csv of scores; name one of these"
        )
    from stillwatch.train.suites.classifiers import open_classifier

    return open_classifier(address, options)


def open_systems(addresses: Sequence[str], options: Options = Options()) -> list[System]:
    """Open several, the first of them the model in question.

    Raises:
        InputError: two systems have the same name, so that no table could tell them apart.
    """
    systems = [open_system(address, options) for address in addresses]
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                "model", f"{name} named {names.count(name)} times", "name each system once, or rename a file"
            )
    return systems

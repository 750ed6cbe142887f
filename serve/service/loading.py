"""From a bundle's folder to a model that may serve: hashes checked, self-check passed, warmed up.

A folder that changes while it is read is refused: it is checked again after its files were opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import DEFAULT_BUNDLE, MANIFEST, load_bundle
from stillwatch.model.reference import TrafficReference
from stillwatch.model.runtime_choice import RuntimeChoice, open_runtime
from stillwatch.model.scorer import Scorer
from stillwatch.serve.service.drift import CALIBRATED, SLIDING, choose_reference
from stillwatch.serve.service.events import tell
from stillwatch.serve.service.settings import ServeConfig

_WARM_UP_CHARACTERS = (10, 300, 1_000, 10_000)
_SHORT_DIGITS = 12  # of the manifest's digest, as `Bundle.version` ends


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A scorer and what the service tells of it.

    Attributes:
        scorer: loaded and checked.
        thresholds: those that its verdicts are made by, for the audit.
        runtime: what runs its network, and why.
        reference: what drift is told against; None where that is the past.
    """

    scorer: Scorer
    thresholds: Mapping[str, float]
    runtime: RuntimeChoice
    reference: TrafficReference | None = None

    @property
    def version(self) -> str:
        """Name and digest of the bundle."""
        return self.scorer.bundle.version


def load_model(config: ServeConfig) -> LoadedModel:
    """Load the configured bundle; its hashes and its self-check are passed.

    Raises:
        BundleError: the bundle cannot be used, or changed while it was read.
        ConfigError: the runtime that was asked for is not installed.
    """
    queue = config.queue
    folder = find_bundle(config).resolve()  # a link may move on while its files are read
    bundle = load_bundle(folder)
    choice = open_runtime(bundle, queue.runtime, num_threads=queue.threads_per_worker, num_callers=queue.num_workers)
    scorer = Scorer(bundle, choice.runtime, cache_bytes=queue.cache_bytes)
    tell("runtime", name=choice.runtime.name, reason=choice.reason, **_list_times(choice))
    if load_bundle(folder).version != scorer.bundle.version:
        raise BundleError(f"{MANIFEST}: changed while the bundle was read; write the folder anew and move it in place")
    reference = choose_reference(bundle.calibration.reference)
    kind, num_requests = (SLIDING, 0) if reference is None else (CALIBRATED, reference.num_requests)
    tell("drift_reference", kind=kind, num_requests=num_requests, model_version=scorer.bundle.version)
    return LoadedModel(scorer, list_thresholds(scorer), choice, reference)


def _list_times(choice: RuntimeChoice) -> dict[str, Any]:
    return {f"{name.replace('-', '_')}_ms": spent_ms for name, spent_ms in choice.milliseconds.items()}


def warm_up(model: LoadedModel) -> None:
    """Score invented requests of several lengths; they leave no trace in states or audit."""
    for length in _WARM_UP_CHARACTERS:
        text = ("warm up " * length)[:length]
        model.scorer.score(Request((Message(Role.USER, text),)))


def find_bundle(config: ServeConfig) -> Path:
    """The folder that is served."""
    return DEFAULT_BUNDLE if config.bundle is None else config.bundle


def list_thresholds(scorer: Scorer) -> dict[str, float]:
    """The thresholds that verdicts are made by."""
    calibration = scorer.bundle.calibration
    found = {"review_logit": calibration.review_logit, "flag_logit": calibration.flag_logit}
    stream = scorer.stream_calibration
    if stream is not None:
        found |= {"stream_review_logit": stream.review_logit, "stream_flag_logit": stream.flag_logit}
    return found


def is_serving(model: LoadedModel, folder: Path) -> bool:
    """Whether a folder's manifest is that of the model."""
    try:
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return False
    return model.version.endswith(f"-{digest[:_SHORT_DIGITS]}")


def sign_folder(folder: Path) -> str:
    """A digest of a folder's manifest, and of the name, size and time of every file: other once anything changed."""
    found = hashlib.sha256()
    try:
        place = folder.resolve(strict=True)
        found.update((place / MANIFEST).read_bytes())
        for path in sorted(place.rglob("*")):
            status = path.stat()
            found.update(f"{path}:{status.st_size}:{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        found.update(f"unreadable {error.errno}".encode())
    return found.hexdigest()

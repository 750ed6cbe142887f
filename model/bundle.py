"""The bundle: the folder that passes from training to serving. Declared layout, versioned, hashed, no pickle.

    manifest.json      what this is, how requests are rendered and cut, SHA-256 of every other file
    tokenizer.json     the encoder's tokenizer
    model.int8.onnx    windows to logits and embeddings, for serving
    calibration.json   logits to probability and action
    probes.json        a few windows and their logits: does this machine compute what the exporter computed?
    MODEL_CARD.md      for people
    first_stage.npy    optional: weights of the first stage; without it the encoder reads every window
    stream.onnx        optional: an account's request vectors to its stream logit, with
    stream.json        how requests become vectors, and thresholds; see `model/streams/detector.py`
    torch/             optional: the same network for torch (config.json, model.safetensors)
    MLmodel            optional: makes the folder a model of MLflow; see `model/mlmodel.py`

Every file is checked against the manifest before it is used; a file that the manifest does not name is refused too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.errors import BundleError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.calibration import Calibration
from stillwatch.model.first_stage import FirstStage
from stillwatch.model.mlmodel import MLMODEL, REGISTERED_META, build_mlmodel
from stillwatch.model.render import RENDERING_VERSION
from stillwatch.model.runtimes import IntArray
from stillwatch.model.selection import Cascade
from stillwatch.model.windows import WindowConfig

M = TypeVar("M", bound=BaseModel)

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.json"
ONNX_MODEL = "model.int8.onnx"
CALIBRATION = "calibration.json"
PROBES = "probes.json"
MODEL_CARD = "MODEL_CARD.md"
FIRST_STAGE = "first_stage.npy"
STREAM_ONNX, STREAM_JSON = "stream.onnx", "stream.json"
TORCH_FOLDER = "torch"
REQUIRED = (TOKENIZER, ONNX_MODEL, CALIBRATION, PROBES, MODEL_CARD)

DEFAULT_BUNDLE = Path(__file__).parent / "default"
"""The bundle that ships with the package."""


class _Format(BaseModel):
    format_version: int


class Manifest(BaseModel):
    """What a bundle says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int
    name: str
    rendering_version: int
    max_tokens: int = Field(gt=0)
    overlap_tokens: int = Field(ge=0)
    max_encoded_windows: int = Field(default=0, ge=0)
    """Windows of a request that the encoder reads at most, those that the first stage ranks highest; 0 for all."""
    passage_margin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """What is taken off the extraction logit of a passage of a long request."""
    pad_id: int = Field(ge=0)
    techniques: tuple[str, ...]
    attributes: tuple[str, ...]
    """Names of the attribute outputs in their order; empty where none were trained."""
    embedding_width: int = Field(gt=0)
    """Numbers in a request's embedding."""
    encoder: str
    trained: dict[str, str] = Field(default_factory=dict)
    """Where it came from: configuration name, dataset digest, git commit, seed, library versions."""
    files: dict[str, str]
    """SHA-256 of every other file, by its path with forward slashes."""


class Probe(BaseModel):
    """One window, and the extraction logits that the exporter computed for it in either precision."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ids: tuple[int, ...] = Field(min_length=1)
    int8: float
    fp32: float


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was checked: paths into it, and what its small files say."""

    folder: Path
    manifest: Manifest
    calibration: Calibration
    probes: tuple[Probe, ...]
    version: str

    @property
    def onnx_model(self) -> Path:
        """The serving model."""
        return self.folder / ONNX_MODEL

    @property
    def tokenizer(self) -> Path:
        """The tokenizer."""
        return self.folder / TOKENIZER

    def load_cascade(self) -> Cascade | None:
        """How long requests are read; None where the encoder reads every window.

        Raises:
            BundleError: the weights of the first stage are not such.
        """
        if not self.manifest.max_encoded_windows:
            return None
        first_stage = FirstStage.load(self.folder / FIRST_STAGE)
        return Cascade(first_stage, self.manifest.max_encoded_windows, self.manifest.passage_margin)

    @property
    def has_stream_model(self) -> bool:
        """Whether the bundle carries a stream model."""
        return STREAM_JSON in self.manifest.files

    @property
    def torch_folder(self) -> Path | None:
        """The torch network, where the bundle carries one."""
        folder = self.folder / TORCH_FOLDER
        return folder if folder.is_dir() else None

    @property
    def window_config(self) -> WindowConfig:
        """How requests are cut."""
        return WindowConfig(self.manifest.max_tokens, self.manifest.overlap_tokens)


def seal_bundle(folder: Path, manifest: Manifest) -> Bundle:
    """Write the file for MLflow, hash the files in `folder`, write its manifest, and load it back.

    Args:
        folder: holds every file but the manifest.
        manifest: its `files` are filled in here.

    Raises:
        BundleError: a required file is missing, or the result does not load.
    """
    (folder / MLMODEL).write_text(build_mlmodel(), "utf-8")
    files = {path: _sha256(folder / path) for path in sorted(_list_files(folder)) if path != MANIFEST}
    sealed = manifest.model_copy(update={"files": files})
    (folder / MANIFEST).write_text(sealed.model_dump_json(indent=2) + "\n", "utf-8")
    return load_bundle(folder)


def load_bundle(folder: Path) -> Bundle:
    """Check a bundle's layout, format and hashes.

    Raises:
        BundleError: which file or field is wrong, and what to do.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; name the folder that holds {MANIFEST}")
    raw = _read(folder, MANIFEST)
    # Before the rest is read: another format may have other fields.
    format_version = _parse(_Format, raw, MANIFEST).format_version
    if format_version != FORMAT_VERSION:
        raise BundleError(
            f"{MANIFEST}: format_version {format_version} is not {FORMAT_VERSION}, the one this release "
            "reads; install the release that wrote the bundle, or train it again"
        )
    manifest = _parse(Manifest, raw, MANIFEST)
    if manifest.rendering_version != RENDERING_VERSION:
        raise BundleError(
            f"{MANIFEST}: rendering_version {manifest.rendering_version} is not {RENDERING_VERSION}; the model would "
            "read requests in another form than it was trained on; train it again with this release"
        )
    if manifest.techniques != tuple(TECHNIQUES):
        raise BundleError(f"{MANIFEST}: techniques are not those of this release; train it again with this release")
    if not ATTRIBUTES.keys() >= set(manifest.attributes) or len(set(manifest.attributes)) < len(manifest.attributes):
        raise BundleError(
            f"{MANIFEST}: attributes are not some of this release's, each once; train it again with this release"
        )
    _check_files(folder, manifest)
    if manifest.max_encoded_windows and FIRST_STAGE not in manifest.files:
        raise BundleError(
            f"{MANIFEST}: max_encoded_windows is {manifest.max_encoded_windows}, but {FIRST_STAGE} is not there to "
            "choose them; build the bundle again, or with max_encoded_windows 0"
        )
    calibration = _parse(Calibration, _read(folder, CALIBRATION), CALIBRATION)
    if strange := sorted(calibration.attribute_logits.keys() - set(manifest.attributes)):
        raise BundleError(f"{CALIBRATION}: {strange[0]} is no output of this bundle; build the bundle again")
    try:
        probes = tuple(Probe.model_validate(probe) for probe in json.loads(_read(folder, PROBES)))
    except (ValueError, TypeError):
        raise BundleError(f"{PROBES}: not a list of probes; build the bundle again") from None
    if not probes:
        raise BundleError(f"{PROBES}: an empty list; a bundle without a probe cannot be checked, build it again")
    return Bundle(folder, manifest, calibration, probes, f"{manifest.name}-{hashlib.sha256(raw).hexdigest()[:12]}")


def copy_bundle(bundle: Bundle, target: Path, *, with_torch: bool) -> Bundle:
    """Copy a bundle into an empty folder, without its torch part if that is not wanted."""
    shutil.copytree(
        bundle.folder,
        target,
        ignore=None if with_torch else shutil.ignore_patterns(TORCH_FOLDER),
        dirs_exist_ok=True,
    )
    return seal_bundle(target, bundle.manifest)


def _check_files(folder: Path, manifest: Manifest) -> None:
    if missing := [name for name in REQUIRED if name not in manifest.files]:
        raise BundleError(f"{MANIFEST}: does not name {', '.join(missing)}; build the bundle again")
    if strange := sorted(_list_files(folder) - manifest.files.keys() - {MANIFEST}):
        raise BundleError(f"{strange[0]}: not named in {MANIFEST}; remove the file or build the bundle again")
    for name, expected in manifest.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise BundleError(f"{MANIFEST}: names a file outside the bundle; do not use this bundle")
        if not (folder / path).is_file():
            raise BundleError(f"{name}: missing; copy the whole bundle again")
        if _sha256(folder / path) != expected:
            raise BundleError(f"{name}: changed since the bundle was sealed; copy or build the bundle again")


def _list_files(folder: Path) -> set[str]:
    """Every file by its path; a linked folder counts whole. What tools leave behind is passed over: hidden files, and
    the one that MLflow lays into a registered version that it fetches."""
    found = {path.relative_to(folder): path.is_file() or path.is_symlink() for path in folder.rglob("*")}
    paths = {path.as_posix() for path, counts in found.items() if counts}
    return {path for path in paths if not path.startswith(".") and path != REGISTERED_META}


def _parse(cls: type[M], raw: bytes, name: str) -> M:
    try:
        return cls.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        top = first["loc"][0] if first["loc"] else "top level"
        field = top if top in (*cls.model_fields, "top level") else "a key of another kind"
        # Neither the file's own keys nor, by the cause, its values: they may hold anything.
        raise BundleError(f"{name}: {field}: {first['msg']}; build the bundle again") from None


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{name}: missing or unreadable; name the folder of a whole bundle") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_probes(folder: Path, probes: tuple[Probe, ...]) -> None:
    """Write `probes.json`."""
    rows = [probe.model_dump(mode="json") for probe in probes]
    (folder / PROBES).write_text(json.dumps(rows) + "\n", "utf-8")


def probe_ids(probe: Probe) -> tuple[IntArray, IntArray]:
    """A probe as `input_ids` and `attention_mask`, shape (1, tokens)."""
    ids = np.array([probe.ids], np.int64)
    return ids, np.ones_like(ids)

"""Hugging Face text classifiers as systems: safetensors only, no remote code, long texts read whole in windows.

A classifier takes `model.render.render_text` of each request. Its score is the highest probability of the label that
means extraction over the windows of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from stillwatch.data.errors import InputError, SourceError
from stillwatch.data.records import Request
from stillwatch.model.render import render_text
from stillwatch.train.suites.systems import Options, Scored

POSITIVE_LABELS = (
    *("extraction", "distillation", "harvesting", "attack", "malicious", "injection", "jailbreak"),
    *("unsafe", "harmful", "suspicious", "abuse", "positive"),
)
"""Names of labels that are taken for extraction when nobody says otherwise; one of them must be there, and no more."""

MAX_WINDOW_TOKENS = 512
"""Tokens of a window, special tokens included, also where a classifier would take more."""

OVERLAP_TOKENS = 64
"""Tokens that neighbouring windows share."""

_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]
_WINDOWS_AT_ONCE = 16


class ClassifierSystem:
    """A sequence classifier with its tokenizer."""

    kind = "transformers"
    has_probabilities = True
    reads_text = True
    carried = ()
    learnt_families = None

    def __init__(self, model: Any, tokenizer: Any, name: str, version: str, positive_label: str | None = None) -> None:
        """Find which label is extraction and how long a window may be.

        Raises:
            InputError: no label, or more than one, is known to be extraction.
        """
        self._model, self._tokenizer, self.name, self.version = model.eval(), tokenizer, name, version
        self._label = find_label(model.config.id2label, positive_label)
        positions = int(getattr(model.config, "max_position_embeddings", 0) or MAX_WINDOW_TOKENS)
        pad_id = int(model.config.pad_token_id or 0)
        if model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
            positions -= pad_id + 1  # their positions begin after the padding's
        self.window_tokens = min(MAX_WINDOW_TOKENS, positions, int(tokenizer.model_max_length))
        self.notes = (
            f"label {model.config.id2label[self._label]} is taken for extraction",
            f"texts longer than {self.window_tokens} tokens are read in windows, and the highest score counts",
        )

    def score(self, requests: Sequence[Request], on_progress: Callable[[int], None] | None = None) -> Scored:
        """See `System.score`."""
        scores = []
        for request in requests:
            scores.append(self._score_text(render_text(request)))
            if on_progress is not None:
                on_progress(1)
        return Scored(np.array(scores, np.float64))

    def _score_text(self, text: str) -> float:
        encoded = self._tokenizer(
            text,
            truncation=True,
            max_length=self.window_tokens,
            stride=min(OVERLAP_TOKENS, self.window_tokens // 4),
            return_overflowing_tokens=True,
        )
        best = 0.0
        for start in range(0, len(encoded["input_ids"]), _WINDOWS_AT_ONCE):
            names = [name for name in self._tokenizer.model_input_names if name in encoded]
            batch = self._tokenizer.pad(
                {name: encoded[name][start : start + _WINDOWS_AT_ONCE] for name in names}, return_tensors="pt"
            )
            with torch.inference_mode():
                logits = np.asarray(self._model(**batch).logits.float().numpy(), np.float64)
            best = max(best, float(self._probabilities(logits).max()))
        return best

    def _probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        if logits.shape[1] == 1 or self._model.config.problem_type == "multi_label_classification":
            return np.asarray(1 / (1 + np.exp(-logits[:, self._label])))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers[:, self._label] / powers.sum(axis=1))


def find_label(names: Mapping[int, str], positive_label: str | None = None) -> int:
    """The number of the label that means extraction.

    Args:
        names: the classifier's `id2label`.
        positive_label: its name, in any case; None means to look for one of `POSITIVE_LABELS`.

    Raises:
        InputError: none, or more than one, fits.
    """
    if len(names) == 1 and positive_label is None:
        return next(iter(names))
    wanted = POSITIVE_LABELS if positive_label is None else (positive_label.lower(),)
    found = [number for number, name in names.items() if name.lower() in wanted]
    if len(found) != 1:
        raise InputError(
            "id2label",
            f"{len(found)} labels that mean extraction among {', '.join(map(str, names.values()))}",
            "name the one that does with --positive-label",
        )
    return found[0]


def open_classifier(address: str, options: Options) -> ClassifierSystem:
    """A folder or a hub id, with `@REVISION` behind it where one is meant.

    Raises:
        SourceError: it cannot be found, has no safetensors or no fast tokenizer, or needs code of its own.
        InputError: no label is known to be extraction.
    """
    folder = _find(address)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise SourceError(
            f"{folder.name}: no .safetensors; pickled weights are not read: save it with transformers' save_pretrained"
        )
    torch.set_num_threads(options.num_threads)
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SourceError(
            f"{folder.name}: transformers cannot open it as a sequence classifier without code of its own; "
            "give a folder with config.json, model.safetensors and tokenizer.json"
        ) from error
    if not tokenizer.is_fast:
        raise SourceError(f"{folder.name}: no fast tokenizer; add its tokenizer.json")
    digest = hashlib.sha256()
    for path in (folder / "config.json", *weights):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return ClassifierSystem(model, tokenizer, Path(address).name, digest.hexdigest()[:12], options.positive_label)


def _find(address: str) -> Path:
    folder = Path(address).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = address.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise SourceError(
            f"{address}: neither a file, a folder nor a model that the hub gives; name a bundle's folder, {_KINDS}"
        ) from error


_KINDS = "models:/NAME@ALIAS, a .skops file, a classifier's folder or hub id, or a .csv of scores"

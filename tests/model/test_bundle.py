from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillwatch.data.errors import BundleError
from stillwatch.model.bundle import (
    CALIBRATION,
    MANIFEST,
    MODEL_CARD,
    ONNX_MODEL,
    PROBES,
    REQUIRED,
    TOKENIZER,
    TORCH_FOLDER,
    Bundle,
    copy_bundle,
    load_bundle,
    seal_bundle,
)
from stillwatch.model.mlmodel import MLMODEL, REGISTERED_META
from stillwatch.model.scorer import Scorer


@pytest.fixture
def copied(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))


def edit_manifest(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | fields))


def test_an_untouched_copy_loads_with_the_same_version(tiny_bundle: Bundle, copied: Path) -> None:
    again = load_bundle(copied)
    assert (again.version, again.calibration, again.probes) == (
        tiny_bundle.version,
        tiny_bundle.calibration,
        tiny_bundle.probes,
    )


@pytest.mark.parametrize("name", REQUIRED)
def test_a_changed_file_is_refused_by_name(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name}: changed"):
        load_bundle(copied)


@pytest.mark.parametrize("name", [*REQUIRED, MANIFEST])
def test_a_missing_file_is_refused_by_name(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        load_bundle(copied)


def test_what_mlflow_lays_beside_its_own_file_is_passed_over(tiny_bundle: Bundle, copied: Path) -> None:
    (copied / REGISTERED_META).write_text("model_name: any")
    assert load_bundle(copied).version == tiny_bundle.version


@pytest.mark.parametrize("name", ["extra.txt", "torch/extra.bin", "a/b/c.pkl"])
def test_a_file_that_the_manifest_does_not_name_is_refused(copied: Path, name: str) -> None:
    (copied / name).parent.mkdir(parents=True, exist_ok=True)
    (copied / name).write_text("x")
    with pytest.raises(BundleError, match=f"{name}: not named"):
        load_bundle(copied)


def test_a_linked_folder_is_refused_and_what_tools_hide_is_passed_over(copied: Path, tmp_path: Path) -> None:
    (copied / ".cache" / "hub").mkdir(parents=True)
    (copied / ".cache" / "hub" / "file.lock").write_text("x")
    load_bundle(copied)
    (copied / TORCH_FOLDER).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BundleError, match="torch: not named"):
        load_bundle(copied)


@pytest.mark.parametrize("field", ["format_version", "rendering_version"])
def test_another_version_is_refused_and_told(copied: Path, field: str) -> None:
    edit_manifest(copied, **{field: 99})
    with pytest.raises(BundleError, match=rf"{field} 99 is not \d"):
        load_bundle(copied)


def test_a_later_format_is_named_even_when_its_fields_are_unknown(copied: Path) -> None:
    edit_manifest(copied, format_version=99, streams={"max_requests": 64})
    with pytest.raises(BundleError, match=r"format_version 99 is not \d"):
        load_bundle(copied)


def test_other_techniques_are_refused(copied: Path) -> None:
    edit_manifest(copied, techniques=["reasoning_elicitation"])
    with pytest.raises(BundleError, match="techniques"):
        load_bundle(copied)


@pytest.mark.parametrize("attributes", [["asks_nothing_known"], ["batch", "batch"]])
def test_unknown_or_repeated_attributes_are_refused(copied: Path, attributes: list[str]) -> None:
    edit_manifest(copied, attributes=attributes)
    with pytest.raises(BundleError, match="attributes"):
        load_bundle(copied)


def test_a_threshold_of_an_attribute_that_the_bundle_has_no_output_for_is_refused(
    tiny_bundle: Bundle, copied: Path
) -> None:
    thresholds = {"attribute_logits": {"asks_code": 1.0}}
    (copied / CALIBRATION).write_text(tiny_bundle.calibration.model_copy(update=thresholds).model_dump_json())
    with pytest.raises(BundleError, match="asks_code is no output"):
        seal_bundle(copied, tiny_bundle.manifest)


@pytest.mark.parametrize("name", ["../secret.txt", "torch/../../secret.txt", "/etc/hostname"])
def test_a_path_out_of_the_bundle_is_refused_unread(copied: Path, name: str) -> None:
    (copied.parent / "secret.txt").write_text("x")
    manifest = json.loads((copied / MANIFEST).read_text())
    edit_manifest(copied, files=manifest["files"] | {name: "0" * 64})
    with pytest.raises(BundleError, match="outside the bundle"):
        load_bundle(copied)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"",
        lambda raw: b"[]",
        lambda raw: b"\xff" + raw,
        lambda raw: raw.replace(b'"pad_id": 0', b'"pad_id": -1'),
        lambda raw: raw.replace(b'"max_tokens"', b'"max_words"'),
    ],
)
def test_a_spoilt_manifest_is_refused(copied: Path, spoil: Callable[[bytes], bytes]) -> None:
    raw = (copied / MANIFEST).read_bytes()
    assert spoil(raw) != raw
    (copied / MANIFEST).write_bytes(spoil(raw))
    with pytest.raises(BundleError, match=MANIFEST):
        load_bundle(copied)


def test_a_manifest_that_forgets_a_required_file_is_refused(copied: Path) -> None:
    manifest = json.loads((copied / MANIFEST).read_text())
    del manifest["files"][CALIBRATION]
    edit_manifest(copied, files=manifest["files"])
    with pytest.raises(BundleError, match=f"does not name {CALIBRATION}"):
        load_bundle(copied)


@pytest.mark.parametrize("name", [CALIBRATION, PROBES])
@pytest.mark.parametrize("content", ["{", "[1]", '{"slope": -1}', '[{"ids": [], "extraction": 0}]'])
def test_a_bundle_with_unusable_numbers_cannot_be_sealed(
    tiny_bundle: Bundle, copied: Path, name: str, content: str
) -> None:
    (copied / name).write_text(content)
    with pytest.raises(BundleError, match=name):
        seal_bundle(copied, tiny_bundle.manifest)


def test_sealing_an_incomplete_folder_names_what_is_missing(tiny_bundle: Bundle, copied: Path) -> None:
    (copied / MODEL_CARD).unlink()
    with pytest.raises(BundleError, match=MODEL_CARD):
        seal_bundle(copied, tiny_bundle.manifest)


def test_the_version_changes_with_any_file(tiny_bundle: Bundle, copied: Path) -> None:
    (copied / MODEL_CARD).write_text("another card")
    assert seal_bundle(copied, tiny_bundle.manifest).version != tiny_bundle.version


def test_a_bundle_is_copied_with_or_without_its_torch_network(
    tiny_bundle: Bundle, copied: Path, tmp_path: Path
) -> None:
    (copied / TORCH_FOLDER).mkdir()
    (copied / TORCH_FOLDER / "config.json").write_text("{}")
    bundle = seal_bundle(copied, tiny_bundle.manifest)
    assert copy_bundle(bundle, tmp_path / "whole", with_torch=True).torch_folder is not None
    slim = copy_bundle(bundle, tmp_path / "slim", with_torch=False)
    assert slim.torch_folder is None
    assert set(slim.manifest.files) == {*REQUIRED, MLMODEL}


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(BundleError, match="nowhere: no such folder"):
        Scorer.load("nowhere")


@pytest.mark.parametrize(
    ("name", "content"),
    [(ONNX_MODEL, b"no onnx"), (ONNX_MODEL, b""), (TOKENIZER, b"{}"), (TOKENIZER, b'{"model": {}}')],
)
def test_a_sealed_file_that_cannot_be_opened_is_a_bundle_error(
    tiny_bundle: Bundle, copied: Path, name: str, content: bytes
) -> None:
    (copied / name).write_bytes(content)
    seal_bundle(copied, tiny_bundle.manifest)
    with pytest.raises(BundleError, match=name):
        Scorer.load(copied)

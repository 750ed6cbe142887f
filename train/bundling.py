"""From a fitted classifier to a sealed bundle: export, calibration, cascade, probes, model card, torch weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import (
    CALIBRATION,
    FIRST_STAGE,
    FORMAT_VERSION,
    MODEL_CARD,
    ONNX_MODEL,
    TOKENIZER,
    TORCH_FOLDER,
    Bundle,
    Manifest,
    load_bundle,
    seal_bundle,
    write_probes,
)
from stillwatch.model.calibration import Calibration
from stillwatch.model.render import RENDERING_VERSION
from stillwatch.model.selection import Cascade
from stillwatch.train.config import ModelConfig
from stillwatch.train.export import Parity, Window, export_int8, make_probes
from stillwatch.train.fit import Fitted


def build_bundle(
    fitted: Fitted,
    folder: Path,
    *,
    name: str,
    model: ModelConfig,
    calibration: Calibration,
    windows: Sequence[Window],
    card: str,
    trained: dict[str, str],
    cascade: Cascade | None = None,
) -> tuple[Bundle, Parity]:
    """Write and seal a bundle; `folder` is replaced only when the whole of it was built and checked.

    Args:
        fitted: the classifier.
        folder: where the bundle goes.
        name: of the bundle.
        model: the classifier's configuration.
        calibration: fitted on scores of held-out families.
        windows: real windows, for the parity check; none of them enters the bundle.
        card: the model card, Markdown.
        trained: where it came from, for the manifest.
        cascade: how long requests are read; the encoder reads every window when left out.

    Raises:
        ExportError: the int8 export does not agree with the classifier.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        draft = Path(scratch) / "bundle"
        draft.mkdir()
        parity = export_int8(fitted.model, draft / ONNX_MODEL, windows)
        write_probes(draft, make_probes(fitted.model, draft / ONNX_MODEL))
        shutil.copyfile(fitted.tokenizer_file, draft / TOKENIZER)
        (draft / CALIBRATION).write_text(calibration.model_dump_json(indent=2) + "\n", "utf-8")
        (draft / MODEL_CARD).write_text(card, "utf-8")
        if cascade is not None:
            cascade.first_stage.save(draft / FIRST_STAGE)
        fitted.model.save_pretrained(draft / TORCH_FOLDER, safe_serialization=True)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            rendering_version=RENDERING_VERSION,
            max_tokens=model.max_tokens,
            overlap_tokens=model.overlap_tokens,
            max_encoded_windows=cascade.max_encoded_windows if cascade else 0,
            passage_margin=cascade.passage_margin if cascade else 0.0,
            pad_id=fitted.pad_id,
            techniques=tuple(TECHNIQUES),
            attributes=tuple(fitted.model.config.attributes),
            embedding_width=fitted.model.extraction_head.in_features,
            encoder=model.encoder,
            trained=trained,
            files={},
        )
        seal_bundle(draft, manifest)
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    return load_bundle(folder), parity

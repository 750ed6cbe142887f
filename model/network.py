"""The classifier in torch: any Hugging Face encoder, mean pooling, heads for extraction, technique and attributes.

The heads read single windows; a request's windows are pooled by the smooth maximum of `model/pooling.py`. Saved and
loaded with `save_pretrained` and `from_pretrained` as safetensors. No code here assumes BERT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.errors import EncoderError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.losses import attribute_loss, contrastive_loss, extraction_loss, technique_loss
from stillwatch.model.pooling import SHARPNESS

CONTRASTIVE_WIDTH = 128
"""Width of the projection that the contrastive loss compares; it is trained with, and not scored with."""


class RequestClassifierConfig(PretrainedConfig):
    """Configuration: the encoder's own configuration beside that of the heads."""

    model_type = "stillwatch"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        head_dropout: float = 0.1,
        technique_weight: float = 0.3,
        attribute_weight: float = 0.0,
        attributes: Sequence[str] | None = None,
        contrastive_weight: float = 0.0,
        label_smoothing: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Take the encoder's configuration as a plain dictionary, so that it is saved inside ours.

        `attributes` names the outputs of the attribute head; left out, it is every attribute where `attribute_weight`
        is above 0, and none where it is not.
        """
        self.encoder = encoder or {}
        self.head_dropout = head_dropout
        self.technique_weight = technique_weight
        self.attribute_weight = attribute_weight
        self.attributes = list((ATTRIBUTES if attribute_weight else ()) if attributes is None else attributes)
        self.contrastive_weight = contrastive_weight
        self.label_smoothing = label_smoothing
        super().__init__(**kwargs)


@dataclass
class RequestScores(ModelOutput):
    """Loss (when labels were given) and `logits` of shape (requests, 1 + techniques), extraction first."""

    loss: Tensor | None = None
    logits: Tensor | None = None


class WindowTensors(NamedTuple):
    """What the network says of windows; see `model/runtimes.py`, `WindowOutputs`."""

    extraction: Tensor
    techniques: Tensor
    attributes: Tensor
    embedding: Tensor


class RequestClassifier(PreTrainedModel):
    """Scores requests given as windows of tokens."""

    config_class = RequestClassifierConfig
    base_model_prefix = "encoder"
    # Any encoder may stand inside, so the attention it supports is its own affair.
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: RequestClassifierConfig) -> None:
        """Build with random weights; `from_encoder` starts from a pretrained encoder."""
        super().__init__(config)
        encoder = dict(config.encoder)
        encoder_config = AutoConfig.for_model(encoder.pop("model_type"), **encoder)
        self.encoder = AutoModel.from_config(encoder_config, attn_implementation=config._attn_implementation or "sdpa")
        width = encoder_config.hidden_size
        self.dropout = nn.Dropout(config.head_dropout)
        self.extraction_head = nn.Linear(width, 1)
        self.technique_head = nn.Linear(width, len(TECHNIQUES))
        self.attribute_head = nn.Linear(width, len(config.attributes)) if config.attributes else None
        self.contrastive_head = nn.Linear(width, CONTRASTIVE_WIDTH) if config.contrastive_weight else None
        self.post_init()

    @classmethod
    def from_encoder(cls, folder: Path, attention: str = "sdpa", **config: Any) -> RequestClassifier:
        """A classifier with fresh heads on the pretrained encoder in `folder`.

        Args:
            folder: a Hugging Face model folder; remote code is never run.
            attention: implementation of attention, `sdpa` or `eager`.
            config: fields of `RequestClassifierConfig`.

        Raises:
            EncoderError: the folder holds no encoder that transformers can load.
        """
        try:
            encoder = AutoModel.from_pretrained(
                folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError) as error:
            raise EncoderError(
                f"model.encoder: {folder.name} is not a Hugging Face encoder with safetensors weights; "
                "name another folder or model id"
            ) from error
        classifier = cls(
            RequestClassifierConfig(encoder=encoder.config.to_dict(), attn_implementation=attention, **config)
        )
        classifier.encoder.load_state_dict(encoder.state_dict())
        return classifier

    def forward_windows(self, input_ids: Tensor, attention_mask: Tensor) -> WindowTensors:
        """Score windows.

        Args:
            input_ids: token ids, shape (windows, tokens).
            attention_mask: 1 for tokens, 0 for padding, same shape.
        """
        embedding = self.embed_windows(input_ids, attention_mask)
        return self._read_heads(embedding)

    def _read_heads(self, embedding: Tensor) -> WindowTensors:
        hidden = self.dropout(embedding)
        # Without the head an output without columns: every graph has the same four outputs.
        attributes = embedding[:, :0] if self.attribute_head is None else self.attribute_head(hidden)
        return WindowTensors(
            self.extraction_head(hidden).squeeze(-1), self.technique_head(hidden), attributes, embedding
        )

    def embed_windows(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The encoder's output averaged over a window's tokens, shape (windows, width)."""
        hidden: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor | None = None,
        techniques: Tensor | None = None,
        attributes: Tensor | None = None,
        families: Tensor | None = None,
    ) -> RequestScores:
        """Score requests, and compute the loss when labels are given.

        Args:
            input_ids: token ids, shape (requests, windows, tokens), empty windows all padding.
            attention_mask: same shape.
            labels: 1 for extraction, 0 for benign, shape (requests,).
            techniques: index of the technique or `NO_TECHNIQUE`, shape (requests,).
            attributes: 1 for those that a request has, 0 for those it lacks, NaN where nobody has said, shape
                (requests, attributes).
            families: a number for each family, shape (requests,); needed for the contrastive loss alone.
        """
        present = attention_mask.any(-1)
        embedding = self.embed_windows(input_ids[present], attention_mask[present])
        return self.score_windows(embedding, present, labels, techniques, attributes, families)

    def score_windows(
        self,
        embedding: Tensor,
        present: Tensor,
        labels: Tensor | None = None,
        techniques: Tensor | None = None,
        attributes: Tensor | None = None,
        families: Tensor | None = None,
    ) -> RequestScores:
        """The heads' part of `forward`, on windows that the encoder has read.

        Args:
            embedding: of the windows that are there, in order, shape (windows, width).
            present: which windows are there, shape (requests, windows).
            labels: as for `forward`, like the rest.
        """
        windows = self._read_heads(embedding)
        outputs = [windows.techniques, windows.attributes]
        if self.contrastive_head is not None:
            outputs.append(windows.embedding)
        pooled = pool_windows(windows.extraction.float(), torch.cat(outputs, dim=1).float(), present)
        extraction, technique, attribute, hidden = pooled.split_with_sizes(
            [1, len(TECHNIQUES), len(self.config.attributes), pooled.shape[1] - self.num_outputs], dim=1
        )
        logits = torch.cat([extraction, technique], dim=1)
        if labels is None:
            return RequestScores(logits=logits)
        loss = extraction_loss(extraction.squeeze(1), labels, self.config.label_smoothing)
        if techniques is not None:
            loss = loss + self.config.technique_weight * technique_loss(technique, techniques)
        if attributes is not None and self.attribute_head is not None:
            loss = loss + self.config.attribute_weight * attribute_loss(attribute, attributes)
        if families is not None and self.contrastive_head is not None:
            projections = functional.normalize(self.contrastive_head(hidden), dim=1)
            loss = loss + self.config.contrastive_weight * contrastive_loss(projections, labels, families)
        return RequestScores(loss=loss, logits=logits)

    @property
    def num_outputs(self) -> int:
        """Logits of a request: extraction, techniques, attributes."""
        return 1 + len(TECHNIQUES) + len(self.config.attributes)

    @property
    def linear_heads(self) -> list[nn.Linear]:
        """The heads that are scored with."""
        heads = (self.extraction_head, self.technique_head, self.attribute_head)
        return [head for head in heads if head is not None]

    def freeze_layers(self, num_layers: int) -> None:
        """Freeze the embeddings and the lowest `num_layers` layers; negative freezes nothing.

        Raises:
            EncoderError: the encoder has fewer layers, or keeps them under another name than `layer(s)`.
        """
        if num_layers < 0:
            return
        above = {id(p) for layer in self.find_layers(num_layers)[num_layers:] for p in layer.parameters()}
        for parameter in self.encoder.parameters():
            parameter.requires_grad_(id(parameter) in above)

    def find_layers(self, num_layers: int = 1) -> list[nn.Module]:
        """The encoder's layers, lowest first.

        Raises:
            EncoderError: it has fewer than `num_layers`.
        """
        stacks = [m for m in self.encoder.modules() if isinstance(m, nn.ModuleList) and len(m) >= num_layers]
        layers = max(stacks, key=len, default=None)
        if layers is None:
            raise EncoderError(f"model.freeze_layers: the encoder has fewer than {num_layers} layers; lower it")
        return list(layers)


def pool_windows(extraction: Tensor, others: Tensor, present: Tensor) -> Tensor:
    """Pool windows to requests; see `model/pooling.py`.

    Args:
        extraction: logits of the windows that are there, shape (windows,).
        others: outputs beside them, shape (windows, outputs).
        present: which windows are there, shape (requests, windows).

    Returns:
        Logits of shape (requests, 1 + outputs).
    """
    scores = torch.full(present.shape, -torch.inf, dtype=extraction.dtype, device=extraction.device)
    scores[present] = extraction
    weights = torch.softmax(SHARPNESS * scores, dim=1)[present]
    rows = present.nonzero()[:, 0]
    weighted = torch.cat([extraction.unsqueeze(1), others], dim=1) * weights.unsqueeze(1)
    pooled = torch.zeros(present.shape[0], weighted.shape[1], dtype=weighted.dtype, device=weighted.device)
    return pooled.index_add(0, rows, weighted)

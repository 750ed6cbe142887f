"""The classifier that a fit starts from: a pretrained encoder with fresh heads, set up as its configuration says."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from stillwatch.data.errors import EncoderError
from stillwatch.model.network import RequestClassifier
from stillwatch.train.config import ModelConfig


def build_network(encoder: Path, model: ModelConfig) -> RequestClassifier:
    """A classifier with fresh heads on the encoder in a folder, its dropout set and its lower layers frozen."""
    network = RequestClassifier.from_encoder(
        encoder,
        attention=model.attention,
        head_dropout=model.head_dropout,
        technique_weight=model.technique_weight,
        attribute_weight=model.attribute_weight,
        contrastive_weight=model.contrastive_weight,
        label_smoothing=model.label_smoothing,
    )
    for module in network.encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = model.encoder_dropout
    network.freeze_layers(model.freeze_layers)
    return network


def pad_token_id(network: RequestClassifier, tokenizer_file: Path) -> int:
    """The padding id of the encoder's configuration, or of its tokenizer where that has none."""
    configured = network.encoder.config.pad_token_id
    if configured is not None:
        return int(configured)
    padding = Tokenizer.from_file(str(tokenizer_file)).padding
    return int(padding["pad_id"]) if padding else 0


def check_window(network: RequestClassifier, max_tokens: int, pad_id: int) -> None:
    """Read one window of `max_tokens`: encoders say in different ways how long a text may be.

    Raises:
        EncoderError: that is too long for the encoder.
    """
    input_ids = torch.full((1, max_tokens), 1 if pad_id == 0 else 0)
    try:
        with torch.inference_mode():
            network.forward_windows(input_ids, torch.ones_like(input_ids))
    except (IndexError, RuntimeError) as error:
        raise EncoderError(
            f"model.max_tokens: {max_tokens} tokens are more than the encoder can read; lower it"
        ) from error

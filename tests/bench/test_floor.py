"""The floor counts what an encoder multiplies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from floor import EncoderShape, build_attention, build_onnx_weights, build_torch_weights

SHAPE = EncoderShape(num_layers=3, width=16, inner_width=40, num_heads=2)


def count_multiply_adds(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        call()
    return int(counter.get_total_flops()) // 2


@pytest.mark.parametrize("num_tokens", [5, 32])
def test_the_formula_counts_what_an_encoder_multiplies(num_tokens: int) -> None:
    size = {"hidden_size": SHAPE.width, "intermediate_size": SHAPE.inner_width, "vocab_size": 11}
    depth = {"num_hidden_layers": SHAPE.num_layers, "num_attention_heads": SHAPE.num_heads}
    config = BertConfig.from_dict(size | depth, attn_implementation="eager")
    encoder = BertModel(config, add_pooling_layer=False).eval()
    ids = torch.ones(1, num_tokens, dtype=torch.int64)
    counted = count_multiply_adds(lambda: encoder(input_ids=ids))
    assert counted == SHAPE.count_weight_products(num_tokens) + SHAPE.count_attention_products(num_tokens)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_floors_of_torch_multiply_as_much_as_the_formula_says(precision: str) -> None:
    assert count_multiply_adds(build_torch_weights(SHAPE, 32, precision)) == SHAPE.count_weight_products(32)
    assert count_multiply_adds(build_attention(SHAPE, 32, precision)) == SHAPE.count_attention_products(32)


def test_the_integer_floors_run_every_weight_of_every_layer() -> None:
    (corners,) = build_onnx_weights(SHAPE, 32)()
    assert corners.shape == (len(SHAPE.weights) * SHAPE.num_layers, 1)
    build_torch_weights(SHAPE, 32, "int8")()

"""The distance to this machine's own floor: the matrix products of a request's tokens, and nothing else.

A layer of a transformer encoder of width d and inner width f multiplies, for n tokens,

    weights      n * (4 * d * d + 2 * d * f)     query, key, value, output; up and down
    attention    2 * n * n * d                   queries by keys, shares by values, over all heads

pairs of numbers and adds them up. A floor is the time that a library takes for just those products, at those shapes,
with the weights of all layers, one thread: as the bundle's network makes them (weights in int8 by onnxruntime's
MatMulInteger, attention in float32), in the best mix that torch offers (weights in int8, attention in bfloat16), and
in float32 and bfloat16 by torch alone. Embeddings, norms, softmax, activations, rounding to int8, heads and tokens
are left out: no network reaches its floor. Encoders of other kinds (convolutions, experts, disentangled attention)
multiply other numbers; for them this page says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clocks import time_by_turns
from prompts import body_of_tokens
from rows import Floor
from stillwatch.model.encoder import resolve_encoder
from stillwatch.serve import Scorer


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """The numbers that decide how much an encoder multiplies."""

    num_layers: int
    width: int
    inner_width: int
    num_heads: int

    @classmethod
    def load(cls, name: str) -> EncoderShape:
        """The shape of an encoder, by folder or hub id.

        Raises:
            EncoderError: it is not on this machine and cannot be fetched.
        """
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(resolve_encoder(name))
        return cls(config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.num_attention_heads)

    @property
    def weights(self) -> list[tuple[int, int]]:
        """Rows and columns of each weight matrix of a layer."""
        square, up = (self.width, self.width), (self.width, self.inner_width)
        return [square] * 4 + [up, up[::-1]]

    def count_weight_products(self, num_tokens: int) -> int:
        """Multiply-adds of tokens with weights, all layers."""
        return self.num_layers * num_tokens * sum(rows * columns for rows, columns in self.weights)

    def count_attention_products(self, num_tokens: int) -> int:
        """Multiply-adds inside attention, all layers."""
        return self.num_layers * 2 * num_tokens * num_tokens * self.width


def measure_floors(fresh: Scorer, *, num_tokens: int = 256) -> list[Floor]:
    """A request against the products of its tokens in each precision, the same tokens in each turn."""
    shape = EncoderShape.load(fresh.bundle.manifest.encoder)
    body = body_of_tokens(fresh, num_tokens)
    ids = np.full((1, num_tokens), 7, np.int64)
    halves = {name: build_attention(shape, num_tokens, name) for name in ("float32", "bfloat16")}
    mixes = {
        "int8 by onnxruntime, attention float32": (build_onnx_weights(shape, num_tokens), halves["float32"]),
        "int8 by torch, attention bfloat16": (build_torch_weights(shape, num_tokens, "int8"), halves["bfloat16"]),
        **{f"{name} by torch": (build_torch_weights(shape, num_tokens, name), half) for name, half in halves.items()},
    }
    *products, network, request = time_by_turns(
        *(partial(_run_both, *mix) for mix in mixes.values()),
        lambda: fresh.runtime.run(ids, np.ones_like(ids)),
        lambda: fresh.score(body),
        rounds=25,
    )
    count = shape.count_weight_products(num_tokens) + shape.count_attention_products(num_tokens)
    print(
        f"{num_tokens} tokens need {count / 1e9:.2f} G multiply-adds: {shape.num_layers} layers of "
        f"n * (4dd + 2df) + 2nnd, n = {num_tokens}, d = {shape.width}, f = {shape.inner_width}"
    )
    return [Floor(name, count, cost, network, request) for name, cost in zip(mixes, products, strict=True)]


def _run_both(weights: Callable[[], object], attention: Callable[[], object]) -> None:
    weights()
    attention()


def build_onnx_weights(shape: EncoderShape, num_tokens: int) -> Callable[[], list[NDArray[np.int32]]]:
    """All products with weights in one graph of onnxruntime: unsigned 8 bits by signed 8 bits, sums of 32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)
    nodes, constants = (
        [],
        [
            numpy_helper.from_array(np.array(corner, np.int64), name)
            for name, corner in (("from", (0, 0)), ("to", (1, 1)))
        ],
    )
    for number, (rows, columns) in enumerate(shape.weights * shape.num_layers):
        weight = rng.integers(-127, 128, (rows, columns), np.int8)
        constants.append(numpy_helper.from_array(weight, f"weight_{number}"))
        nodes.append(helper.make_node("MatMulInteger", [f"in_{rows}", f"weight_{number}"], [f"product_{number}"]))
        # One number of each is kept: outputs in full would be written to fresh memory.
        nodes.append(helper.make_node("Slice", [f"product_{number}", "from", "to"], [f"corner_{number}"]))
    corners = [f"corner_{number}" for number in range(len(shape.weights) * shape.num_layers)]
    nodes.append(helper.make_node("Concat", corners, ["corners"], axis=0))
    inputs = {f"in_{rows}": rng.integers(0, 256, (num_tokens, rows), np.uint8) for rows, _ in shape.weights}
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, value.shape) for name, value in inputs.items()],
        [helper.make_tensor_value_info("corners", TensorProto.INT32, [len(corners), 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run() -> list[NDArray[np.int32]]:
        return list(session.run(None, inputs))

    return run


def build_torch_weights(shape: EncoderShape, num_tokens: int, precision: str) -> Callable[[], object]:
    """All products with weights in torch.

    Args:
        shape: the encoder's.
        num_tokens: in one request.
        precision: name of a type of torch; products of `int8` are summed in 32 bits.
    """
    import torch

    torch.set_num_threads(1)
    dtype = getattr(torch, precision)
    summed, multiply = (torch.int32, torch._int_mm) if precision == "int8" else (dtype, torch.mm)

    def draw(rows: int, columns: int) -> torch.Tensor:
        return (torch.rand(rows, columns) * 100).to(dtype)

    inputs = {rows: draw(num_tokens, rows) for rows, _ in shape.weights}
    outputs = {columns: torch.empty(num_tokens, columns, dtype=summed) for _, columns in shape.weights}
    weights = [draw(rows, columns) for rows, columns in shape.weights * shape.num_layers]

    def run() -> None:
        for weight in weights:
            multiply(inputs[weight.shape[0]], weight, out=outputs[weight.shape[1]])

    return run


def build_attention(shape: EncoderShape, num_tokens: int, precision: str) -> Callable[[], object]:
    """The products inside attention, all layers and heads, in torch."""
    import torch

    torch.set_num_threads(1)
    dtype = getattr(torch, precision)
    heads = torch.rand(shape.num_heads, num_tokens, shape.width // shape.num_heads).to(dtype)
    shares = torch.empty(shape.num_heads, num_tokens, num_tokens, dtype=dtype)
    mixed = torch.empty_like(heads)

    def run() -> None:
        for _ in range(shape.num_layers):
            torch.bmm(heads, heads.transpose(1, 2), out=shares)
            torch.bmm(shares, heads, out=mixed)

    return run

"""What several rooms' tests share: the repository, and a bundle of a few kilobytes that really scores."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.bundle import (
    CALIBRATION,
    FORMAT_VERSION,
    MODEL_CARD,
    ONNX_MODEL,
    TOKENIZER,
    Bundle,
    Manifest,
    Probe,
    seal_bundle,
    write_probes,
)
from stillwatch.model.calibration import Calibration
from stillwatch.model.render import RENDERING_VERSION

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "reasoning")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A sealed bundle of six words; its extraction logit is the share of tokens that are `reasoning`, minus a half."""
    folder = tmp_path_factory.mktemp("bundle")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / TOKENIZER))
    onnx.save(_share_of_token(WORDS.index("reasoning")), str(folder / ONNX_MODEL))
    write_probes(folder, (Probe(ids=(2, 5, 5, 3), extraction=0.0),))
    calibration = Calibration(
        slope=4.0,
        intercept=0.0,
        review_logit=-1.0,
        flag_logit=1.0,
        review_fpr=0.01,
        flag_fpr=0.001,
        num_benign=1000,
        num_extraction=1000,
    )
    (folder / CALIBRATION).write_text(calibration.model_dump_json(), "utf-8")
    (folder / MODEL_CARD).write_text("# A bundle for tests\n", "utf-8")
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        name="tiny",
        rendering_version=RENDERING_VERSION,
        max_tokens=64,
        overlap_tokens=8,
        pad_id=0,
        techniques=tuple(TECHNIQUES),
        encoder="six words",
        files={},
    )
    return seal_bundle(folder, manifest)


def _share_of_token(token: int) -> onnx.ModelProto:
    shape = ["windows", "tokens"]
    weights = [4.0, *[0.0] * (len(TECHNIQUES) - 1)]
    nodes = [
        helper.make_node("Equal", ["input_ids", "token"], ["equal"]),
        helper.make_node("Cast", ["equal"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "axis"], ["hits"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axis"], ["length"], keepdims=0),
        helper.make_node("Div", ["hits", "length"], ["share"]),
        helper.make_node("Sub", ["share", "half"], ["extraction"]),
        helper.make_node("Unsqueeze", ["share", "axis"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["techniques"]),
    ]
    graph = helper.make_graph(
        nodes,
        "share",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape),
        ],
        [
            helper.make_tensor_value_info("extraction", TensorProto.FLOAT, shape[:1]),
            helper.make_tensor_value_info("techniques", TensorProto.FLOAT, [shape[0], len(TECHNIQUES)]),
        ],
        [
            helper.make_tensor("token", TensorProto.INT64, [], [token]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
            helper.make_tensor("weights", TensorProto.FLOAT, [1, len(TECHNIQUES)], weights),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model

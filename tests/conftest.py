"""What several rooms' tests share: the repository, and a bundle of a few kilobytes that really scores."""

from __future__ import annotations

import string
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace
from tokenizers.processors import TemplateProcessing

from stillwatch.data.labels import TECHNIQUES, Role
from stillwatch.data.records import Message, Request
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

if TYPE_CHECKING:
    from stillwatch.model.network import RequestClassifier
    from stillwatch.train.fit import Fitted

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "reasoning")

TINY_ATTRIBUTES = ("asks_reasoning_trace", "batch")

TINY_CALIBRATION = Calibration(
    slope=4.0,
    intercept=0.0,
    review_logit=-1.0,
    flag_logit=1.0,
    review_fpr=0.01,
    flag_fpr=0.001,
    num_benign=1000,
    num_extraction=1000,
)


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
    write_probes(folder, (Probe(ids=(2, 5, 5, 3), int8=0.0, fp32=0.0),))
    calibration = TINY_CALIBRATION.model_copy(
        update={"attribute_logits": {TINY_ATTRIBUTES[0]: 3.0, TINY_ATTRIBUTES[1]: 1.5}}
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
        attributes=TINY_ATTRIBUTES,
        embedding_width=3,
        encoder="six words",
        files={},
    )
    return seal_bundle(folder, manifest)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers, 32 wide, with a tokenizer that reads any ASCII text."""
    from transformers import BertConfig, BertModel, set_seed

    folder = tmp_path_factory.mktemp("bert")
    vocabulary = _save_tokenizer(folder, pad="[PAD]", unknown="[UNK]", first="[CLS]", last="[SEP]")
    set_seed(1)
    BertModel(
        BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, pad_token_id=0, **_SIZE)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def roberta_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a RoBERTa: other special tokens, padding that is not 0, positions that start after it."""
    from transformers import RobertaConfig, RobertaModel, set_seed

    folder = tmp_path_factory.mktemp("roberta")
    vocabulary = _save_tokenizer(folder, first="<s>", pad="<pad>", last="</s>", unknown="<unk>")
    set_seed(1)
    RobertaModel(
        RobertaConfig(vocab_size=len(vocabulary), max_position_embeddings=130, pad_token_id=1, **_SIZE)
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_network(bert_folder: Path) -> RequestClassifier:
    """The tiny BERT after a few steps on windows that are extraction by their share of the word `trace`."""
    import torch
    from transformers import set_seed

    from stillwatch.model.network import RequestClassifier

    torch.set_num_threads(1)  # so small a network only waits for more
    set_seed(2)
    network = RequestClassifier.from_encoder(bert_folder, attention="eager", head_dropout=0.0)
    rng = Random(3)
    words = torch.tensor([[rng.random() < share for _ in range(14)] for share in [i / 63 for i in range(64)]])
    vocabulary = Tokenizer.from_file(str(bert_folder / TOKENIZER)).get_vocab()
    body = torch.where(words, vocabulary["trace"], vocabulary["order"])
    ids = torch.cat([torch.full((64, 1), 2), body, torch.full((64, 1), 3)], dim=1).unsqueeze(1)
    labels, techniques = (words.float().mean(1) > 0.5).long(), torch.arange(64) % len(TECHNIQUES)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = network(ids, torch.ones_like(ids), labels, techniques).loss
        loss.backward()
        optimizer.step()
    network.eval()
    return network


@pytest.fixture(scope="session")
def tiny_fitted(tiny_network: RequestClassifier, bert_folder: Path) -> Fitted:
    """The same as a fit leaves it behind."""
    from stillwatch.model.windows import WindowConfig, Windower
    from stillwatch.train.fit import Fitted

    windower = Windower.load(bert_folder / TOKENIZER, WindowConfig(64, 8))
    return Fitted(tiny_network, windower, bert_folder / TOKENIZER, 0, 1.0, None)


@pytest.fixture(scope="session")
def trained_bundle(tiny_fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What `build_bundle` makes of the tiny BERT: exported to int8, compared, sealed. Takes some seconds."""
    from stillwatch.train.bundling import build_bundle
    from stillwatch.train.config import ModelConfig

    rng = Random(4)
    words = [[rng.choice(["trace", "order", "hello"]) for _ in range(rng.randint(4, 40))] for _ in range(64)]
    texts = [" ".join(each) for each in words]
    windows = [tuple(tiny_fitted.windower.cut(Request((Message(Role.USER, text),))).ids[0]) for text in texts]
    bundle, _ = build_bundle(
        tiny_fitted,
        tmp_path_factory.mktemp("trained") / "bundle",
        name="trained",
        model=ModelConfig(encoder="tiny", max_tokens=64, overlap_tokens=8),
        calibration=TINY_CALIBRATION,
        windows=windows,
        card="# A bundle for tests\n",
        trained={"seed": "2"},
    )
    return bundle


_SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


def _save_tokenizer(folder: Path, **special: str) -> list[str]:
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = ["hello", "order", "trace", "reasoning", "user", "assistant", "system", "tool", "call", "answer", "format"]
    vocabulary = [*special.values(), *letters, *(f"##{letter}" for letter in letters), *words]
    ids = {token: i for i, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token=special["unknown"], max_input_chars_per_word=400))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(list(special.values()))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{special['first']} $A {special['last']}",
        special_tokens=[(special[place], ids[special[place]]) for place in ("first", "last")],
    )
    tokenizer.enable_truncation(16)  # what many encoders ship; ours must switch it off
    tokenizer.enable_padding(pad_id=ids[special["pad"]], pad_token=special["pad"], length=16)
    tokenizer.save(str(folder / TOKENIZER))
    return vocabulary


def _share_of_token(token: int) -> onnx.ModelProto:
    shape = ["windows", "tokens"]
    weights: dict[str, list[float]] = {
        "techniques": [4.0, *[0.0] * (len(TECHNIQUES) - 1)],
        "attributes": [6.0, 2.0],
        "embedding": [1.0, 0.0, -1.0],
    }
    nodes = [
        helper.make_node("Equal", ["input_ids", "token"], ["equal"]),
        helper.make_node("Cast", ["equal"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "axis"], ["hits"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axis"], ["length"], keepdims=0),
        helper.make_node("Div", ["hits", "length"], ["share"]),
        helper.make_node("Sub", ["share", "half"], ["extraction"]),
        helper.make_node("Unsqueeze", ["share", "axis"], ["column"]),
        *(helper.make_node("MatMul", ["column", f"{name}.weights"], [name]) for name in weights),
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
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], len(row)])
                for name, row in weights.items()
            ),
        ],
        [
            helper.make_tensor("token", TensorProto.INT64, [], [token]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
            *(
                helper.make_tensor(f"{name}.weights", TensorProto.FLOAT, [1, len(row)], row)
                for name, row in weights.items()
            ),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model

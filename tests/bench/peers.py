"""What others would pay for the same question: networks of known shapes in transformers, float32, one thread.

Weights are random, as they do not matter for time; so nothing is said about quality. Torch is imported when asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from clocks import time_by_turns
from prompts import body_of_tokens
from rows import Peer
from stillwatch.model.encoder import resolve_encoder
from stillwatch.serve import Scorer

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class DebertaShape:
    """The numbers of a DeBERTa-v2 configuration in which the peers differ."""

    vocab_size: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    num_hidden_layers: int = 12


PROMPT_GUARD_22M = DebertaShape(128_100, 384, 6, 1_536)
PROMPT_GUARD_86M = DebertaShape(251_000, 768, 12, 3_072)
"""That of mDeBERTa-base."""


def measure_peers(fresh: Scorer) -> list[Peer]:
    """A request of 256 tokens, against each peer in its turn."""
    body = body_of_tokens(fresh, 256)

    def compare(name: str, peer: Callable[[], object], rounds: int) -> Peer:
        theirs, ours = time_by_turns(peer, lambda: fresh.score(body), rounds=rounds)
        return Peer(name, theirs, ours)

    text = body["messages"][0]["content"]
    return [
        compare("256 tokens, transformers pipeline, our encoder", build_pipeline(fresh, text), 15),
        compare("256 tokens, network of Prompt Guard 2 86M's shape", build_prompt_guard(PROMPT_GUARD_86M, 256), 7),
    ]


def build_pipeline(fresh: Scorer, text: str) -> Callable[[], object]:
    """The text-classification pipeline of transformers on the bundle's base encoder under one linear layer.

    Args:
        fresh: whose encoder.
        text: what the pipeline is asked, tokens and all.

    Raises:
        EncoderError: the bundle's encoder is not on this machine and cannot be fetched.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

    torch.set_num_threads(1)
    folder = resolve_encoder(fresh.bundle.manifest.encoder)
    network = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder)).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classify = pipeline("text-classification", model=network, tokenizer=tokenizer, device="cpu")
    return lambda: classify(text)


def build_prompt_guard(shape: DebertaShape, num_tokens: int) -> Callable[[], object]:
    """The network alone of such a shape, without a tokenizer, on random tokens."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.set_num_threads(1)
    shared = {
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 256,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "position_biased_input": False,
        "norm_rel_ebd": "layer_norm",
    }
    config = DebertaV2Config.from_dict(asdict(shape) | shared)
    network: nn.Module = DebertaV2ForSequenceClassification(config).eval()
    ids = torch.randint(shape.vocab_size, (1, num_tokens), generator=torch.Generator().manual_seed(7))

    def run() -> None:
        with torch.inference_mode():
            network(input_ids=ids, attention_mask=torch.ones_like(ids))

    return run

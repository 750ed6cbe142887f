"""Linear probing before fine-tuning: the heads are fitted on the encoder as it comes, then everything learns together.

Fresh heads send large, meaningless gradients through a pretrained encoder and bend features that would have carried
over to unseen families; heads that already fit do not. Source: Kumar et al., "Fine-Tuning can Distort Pretrained
Features and Underperform Out-of-Distribution", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from stillwatch.model.network import RequestClassifier
from stillwatch.train.examples import Example, Examples, WindowCollator

HEAD_PENALTY = 1e-4
"""Weight of the heads' squared norm, for embeddings of unit length."""

_MAX_ITERATIONS = 200


def fit_heads(
    network: RequestClassifier, examples: Examples, draws: Sequence[int], *, pad_id: int, batch_size: int, bf16: bool
) -> None:
    """Fit the heads of a network in place, with its own loss over all draws at once; the encoder stays as it is.

    Args:
        network: the classifier.
        examples: what is drawn from.
        draws: indices into `examples`, one for every request that counts; a repeated one counts again.
        pad_id: token id of padding.
        batch_size: windows that are embedded at once.
        bf16: embed in bfloat16.
    """
    network.eval()  # no dropout: the loss must be the same at every look
    chosen = sorted(set(draws))
    drawn = [examples[index] for index in chosen]
    first, embeddings = _embed_windows(network, drawn, pad_id, batch_size, bf16)
    place = {index: number for number, index in enumerate(chosen)}
    order = [place[index] for index in draws]
    rows = torch.cat([torch.arange(first[number], first[number + 1]) for number in order])
    counts = torch.tensor([first[number + 1] - first[number] for number in order])
    device = embeddings.device
    embeddings = embeddings[rows.to(device)]
    present = (torch.arange(int(counts.max())) < counts.unsqueeze(1)).to(device)
    targets = {
        "labels": torch.tensor([drawn[number]["label"] for number in order], device=device),
        "techniques": torch.tensor([drawn[number]["technique"] for number in order], device=device),
        "attributes": torch.tensor([drawn[number]["attributes"] for number in order], device=device),
    }
    heads = [parameter for head in network.linear_heads for parameter in head.parameters()]
    penalty = HEAD_PENALTY * float(embeddings.square().sum(1).mean())
    optimizer = torch.optim.LBFGS(heads, max_iter=_MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def measure() -> Tensor:
        optimizer.zero_grad()
        loss = cast(Tensor, network.score_windows(embeddings, present, **targets).loss)
        loss = loss + penalty * torch.stack([head.weight.square().sum() for head in network.linear_heads]).sum()
        torch.autograd.backward(loss, inputs=heads)
        return loss

    optimizer.step(measure)  # type: ignore[no-untyped-call]
    network.zero_grad()


def _embed_windows(
    network: RequestClassifier, examples: Sequence[Example], pad_id: int, batch_size: int, bf16: bool
) -> tuple[list[int], Tensor]:
    """Where the windows of each example begin (and the last end), and all of them, shape (windows, width)."""
    windows = [ids for example in examples for ids in example["windows"]]
    first = [0]
    for example in examples:
        first.append(first[-1] + len(example["windows"]))
    order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
    found: list[Tensor] = []
    for start in range(0, len(order), batch_size):
        ids, mask = WindowCollator(pad_id).stack([(windows[index],) for index in order[start : start + batch_size]])
        device = network.device
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            found.append(network.embed_windows(ids[:, 0].to(device), mask[:, 0].to(device)).float())
    place = torch.tensor(order).argsort()
    return first, torch.cat(found)[place.to(network.device)]

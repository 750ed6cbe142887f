"""The stream network: a small causal transformer over request vectors, with a logit after every request.

It learns to give evidence after every request; an account's logit is the mean of the evidence of its last `MEMORY`
requests, those before the first counting as zero, less a doubt that fades as requests add up, and more where the
account's mean extraction logit is above 0. An honest account may look bad for a moment, most of all among
its first requests, an operator keeps looking bad, and the threshold is about the worst moment of a thousand. (Learnt
through the mean of evidence, the network only raises its voice: all three come afterwards.)

Evidence is weighed with the mean of the account's extraction logits so far beside it: attention could work that out by
itself but, from few accounts, does not. It still trusts that mean too little where a technique is new to it and the
account asks for nothing else. Each layer looks back over a span of requests and no further, and positions count only
relative to each other.
A logit depends on the last `WINDOW` vectors alone, wherever they stand: what a gateway computes from the vectors that
an account's state keeps is what one pass over the whole stream computes at that place. Long streams are therefore
scored in one pass, and a test holds the two equal.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillwatch.model.streams.layout import GROUPS, INDEX, WIDTH, WINDOW, Group

NETWORK_VERSION = 4
"""Raised whenever the same weights would say something else."""

MEMORY = 8
"""Requests whose evidence a logit averages."""
DOUBT = 0.5
"""What is taken off the logit of an account's first request; how it was chosen: train/README.md."""
DOUBT_REQUESTS = 128.0
"""Requests after which the doubt has fallen to 1/e."""
OVERT = 0.25
"""Weight of the account's mean extraction logit, where above 0; chosen with the doubt."""
_REACH = WINDOW - MEMORY + 1  # requests that evidence may come from, the newest included
_NUMBER, _EXTRACTION = INDEX["number"], INDEX["extraction"]
_AVERAGED = [_EXTRACTION]  # slots whose mean so far stands beside what the layers say
_NEVER = -1e4  # added to attention scores that must not count; finite, so that half precision survives it


class StreamNetwork(nn.Module):
    """Vectors of accounts to evidence after each request: the mean of a few members that learn the same apart."""

    mean: Tensor
    scale: Tensor
    sight: Tensor

    def __init__(
        self,
        *,
        width: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        dropout: float = 0.1,
        num_members: int = 1,
        num_blind: int = 0,
    ) -> None:
        """Build with fresh weights.

        Args:
            width: of the hidden rows, a multiple of `num_heads`.
            num_layers: layers; together they look back over fewer than `WINDOW` requests.
            num_heads: attention heads.
            dropout: within the layers.
            num_members: whose evidence is averaged: one alone is sure of itself where another is not.
            num_blind: how many of them never see the slots of the embedding, where a text stands and how near it is to
                the account's others: families to come stand where none stood, and who judges by place misses
                operators that extract with few of their requests.
        """
        super().__init__()
        sight = torch.ones(num_members, WIDTH)
        sight[num_members - num_blind :, GROUPS[Group.EMBEDDING]] = 0.0
        self.register_buffer("sight", sight)
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("scale", torch.ones(WIDTH))
        self.members = nn.ModuleList(_Member(width, num_layers, num_heads, dropout) for _ in range(num_members))

    def normalise(self, vectors: Tensor) -> Tensor:
        """Vectors on the scale that the network was trained on; 0 is the mean of training."""
        return torch.clamp((vectors - self.mean) / self.scale, -6.0, 6.0)

    def ask_members(self, normalised: Tensor) -> Tensor:
        """Evidence after each request, as a logit of its own, by each member.

        Args:
            normalised: vectors as `normalise` gives them, shape (accounts, requests, WIDTH); what stands behind an
                account's last request is never looked at by those before it.

        Returns:
            shape (members, accounts, requests).
        """
        return torch.stack([member(normalised * self.sight[n]) for n, member in enumerate(self.members)])

    def forward(self, normalised: Tensor) -> Tensor:
        """The members' mean, shape (accounts, requests); see `ask_members`."""
        return self.ask_members(normalised).mean(0)

    @staticmethod
    def conclude(evidence: Tensor, vectors: Tensor) -> Tensor:
        """The account's logit after each request.

        Args:
            evidence: from `forward`, from the account's first request on or from `MEMORY` requests before the first
                whose logit is asked for, shape (accounts, requests).
            vectors: what it was made of, as they are kept, shape (accounts, requests, WIDTH).

        Returns:
            shape (accounts, requests).
        """
        padded = functional.pad(evidence, (MEMORY - 1, 0))
        average = functional.avg_pool1d(padded[:, None], MEMORY, stride=1).squeeze(1)
        before = torch.exp(vectors[..., _NUMBER].clamp(min=0.0)) - 1.0
        seen = torch.arange(1, vectors.shape[1] + 1, device=vectors.device)
        asked = _average_back(vectors[..., [_EXTRACTION]]).squeeze(-1).clamp(min=0.0) * (seen / MEMORY).clamp(max=1.0)
        return average - DOUBT * torch.exp(-before / DOUBT_REQUESTS) + OVERT * asked


class LastLogit(nn.Module):
    """The network as `stream.onnx` holds it: raw vectors and lengths in, the logit after the newest request out."""

    def __init__(self, network: StreamNetwork) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Logits of shape (accounts,).

        Args:
            vectors: shape (accounts, WINDOW, WIDTH), oldest first from place 0.
            lengths: how many of them there are, shape (accounts,), each at least 1.
        """
        logits = self.network.conclude(self.network(self.network.normalise(vectors)), vectors)
        return logits.gather(1, (lengths - 1)[:, None]).squeeze(1)


class _Member(nn.Module):
    """Normalised vectors, shape (accounts, requests, WIDTH), to evidence, shape (accounts, requests)."""

    def __init__(self, width: int, num_layers: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        span = (_REACH - 1) // num_layers + 1
        self.enter = nn.Linear(WIDTH, width)
        self.layers = nn.ModuleList(_Layer(width, num_heads, span, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.weigh = nn.Sequential(nn.Linear(width + len(_AVERAGED), width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, normalised: Tensor) -> Tensor:
        rows = self.enter(normalised)
        steps = torch.arange(rows.shape[1], device=rows.device)
        back = steps[:, None] - steps[None, :]
        for layer in self.layers:
            rows = layer(rows, back)
        means = _average_back(normalised[..., _AVERAGED])
        return cast(Tensor, self.weigh(torch.cat((self.norm(rows), means), -1)).squeeze(-1))


def _average_back(values: Tensor) -> Tensor:
    """The mean of the last `_REACH` values at each request, of all where there are fewer; shapes as they come."""
    sums = values.cumsum(1)
    before = functional.pad(sums, (0, 0, _REACH, 0))[:, : values.shape[1]]
    counts = torch.arange(1, values.shape[1] + 1, device=values.device).clamp(max=_REACH)
    return (sums - before) / counts[:, None]


class _Layer(nn.Module):
    """Pre-norm attention over a band of requests, with a learnt bias for each distance, and a feed-forward."""

    def __init__(self, width: int, num_heads: int, span: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.span = num_heads, span
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(num_heads, span))
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, back: Tensor) -> Tensor:
        accounts, steps, width = rows.shape
        heads = self.mix(self.before_attention(rows)).view(accounts, steps, 3, self.num_heads, width // self.num_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        seen = (back >= 0) & (back < self.span)
        bias = self.distance[:, back.clamp(0, self.span - 1)].masked_fill(~seen, _NEVER)
        scores = query @ key.transpose(-1, -2) * (width // self.num_heads) ** -0.5 + bias
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(accounts, steps, width)
        rows = rows + self.dropout(self.out(mixed))
        return cast(Tensor, rows + self.dropout(self.narrow(functional.gelu(self.widen(self.before_forward(rows))))))

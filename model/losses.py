"""What a fit minimises: losses over the pooled outputs of requests. Needs torch; no part of scoring."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NO_TECHNIQUE = -100
"""Technique index of a benign request: the technique loss skips it."""

TEMPERATURE = 0.1
"""Of the contrastive loss, as in its paper."""


def extraction_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Binary cross-entropy of logits of shape (requests,) with labels 0 or 1, pulled to even odds by `smoothing`."""
    target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, target)


def technique_loss(logits: Tensor, techniques: Tensor) -> Tensor:
    """Cross-entropy over the requests that have a technique; nothing where none has.

    Args:
        logits: shape (requests, techniques).
        techniques: index of the technique or `NO_TECHNIQUE`, shape (requests,).
    """
    if not bool((techniques != NO_TECHNIQUE).any()):
        return logits.new_zeros(())
    return functional.cross_entropy(logits, techniques, ignore_index=NO_TECHNIQUE)


def attribute_loss(logits: Tensor, attributes: Tensor) -> Tensor:
    """Mean binary cross-entropy over the attributes that are known; nothing where none is.

    Args:
        logits: shape (requests, attributes).
        attributes: 1 or 0, NaN where nobody has said; same shape.
    """
    known = ~attributes.isnan()
    if not bool(known.any()):
        return logits.new_zeros(())
    return functional.binary_cross_entropy_with_logits(logits[known], attributes[known])


def contrastive_loss(projections: Tensor, labels: Tensor, families: Tensor) -> Tensor:
    """Pull requests of one label together, but only across families; push the labels apart.

    Requests of the same label and family are neither pulled nor pushed: what they share is their template. Source:
    Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020 (the loss with the sum outside the logarithm).

    Args:
        projections: vectors of unit length, shape (requests, width).
        labels: shape (requests,).
        families: a number for each family, shape (requests,).

    Returns:
        The mean over requests that have a positive; nothing where none has.
    """
    same_label = labels.unsqueeze(0) == labels.unsqueeze(1)
    same_family = families.unsqueeze(0) == families.unsqueeze(1)
    positive = same_label & ~same_family
    compared = positive | ~same_label
    anchors = positive.any(1)
    if not bool(anchors.any()):
        return projections.new_zeros(())
    similarity = (projections @ projections.T / TEMPERATURE)[anchors]
    positive, compared = positive[anchors], compared[anchors]
    normaliser = similarity.masked_fill(~compared, -torch.inf).logsumexp(1, keepdim=True)
    per_anchor = ((similarity - normaliser) * positive).sum(1) / positive.sum(1)
    return -per_anchor.mean()

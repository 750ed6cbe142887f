from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from stillwatch.model.losses import TEMPERATURE, contrastive_loss


def vectors(*rows: tuple[float, float]) -> torch.Tensor:
    return functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


APART = vectors((1, 0), (1, 0), (-1, 0), (-1, 0))
MIXED = vectors((1, 0), (-1, 0), (1, 0), (-1, 0))
LABELS = torch.tensor([1, 1, 0, 0])


def test_labels_that_lie_apart_cost_less_than_labels_that_are_mixed() -> None:
    families = torch.tensor([0, 1, 2, 3])
    assert contrastive_loss(APART, LABELS, families) < contrastive_loss(MIXED, LABELS, families)


def test_requests_of_one_family_are_neither_pulled_nor_pushed() -> None:
    one_label = contrastive_loss(vectors((1, 0), (0, 1), (0.6, 0.8)), torch.ones(3), torch.tensor([0, 0, 1]))
    # The twins compare themselves with the third alone, so only the third, which sees both of them, costs anything.
    third = torch.log_softmax(torch.tensor([0.6, 0.8]) / TEMPERATURE, 0).mean()
    assert float(one_label) == pytest.approx(-float(third) / 3, rel=1e-5)


def test_the_loss_is_the_papers_on_a_case_done_by_hand() -> None:
    projections = vectors((1, 0), (0.6, 0.8), (0, 1))
    labels, families = torch.tensor([1, 1, 0]), torch.tensor([0, 1, 2])
    exp = [torch.exp(torch.tensor(cosine / TEMPERATURE)) for cosine in (0.6, 0.0, 0.8)]
    first, second = -torch.log(exp[0] / (exp[0] + exp[1])), -torch.log(exp[0] / (exp[0] + exp[2]))
    assert float(contrastive_loss(projections, labels, families)) == pytest.approx(float(first + second) / 2, rel=1e-5)


def test_a_batch_without_a_positive_costs_nothing() -> None:
    assert float(contrastive_loss(APART, LABELS, torch.tensor([0, 0, 1, 1]))) == 0.0

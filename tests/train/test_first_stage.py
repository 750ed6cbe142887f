from __future__ import annotations

from random import Random

import numpy as np
import pytest

from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.bundle import Bundle
from stillwatch.model.runtimes import OnnxRuntime
from stillwatch.model.selection import Cascade
from stillwatch.model.windows import Windower
from stillwatch.train import first_stage
from stillwatch.train.first_stage import fit_cascade, measure_recall


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_stage, "NUM_DOCUMENTS", 30)
    monkeypatch.setattr(first_stage, "NUM_HONEST", 4)
    monkeypatch.setattr(first_stage, "NUM_BURIED", 4)


@pytest.fixture(scope="module")
def windower(tiny_bundle: Bundle) -> Windower:
    return Windower.load(tiny_bundle.tokenizer, tiny_bundle.window_config)


@pytest.fixture(scope="module")
def runtime(tiny_bundle: Bundle) -> OnnxRuntime:
    """Its extraction logit is the share of tokens that are `reasoning`."""
    return OnnxRuntime(tiny_bundle.onnx_model)


def draw_records(num_records: int, *, seed: int = 1) -> list[LabelledRequest]:
    """Every other one is extraction and says mostly `reasoning`, the others mostly `hello`."""
    rng = Random(seed)
    records = []
    for number in range(num_records):
        is_extraction = number % 2 == 0
        weights = (4, 1) if is_extraction else (0, 1)
        text = " ".join(rng.choices(["reasoning", "hello"], weights, k=rng.randint(5, 30)))
        records.append(
            LabelledRequest(
                Request((Message(Role.USER, text),), id=f"{seed}/{number}"),
                Label.EXTRACTION if is_extraction else Label.BENIGN,
                family=f"f{number % 6}",
                source="test",
                technique=Technique.REASONING_ELICITATION if is_extraction else None,
                visibility=Visibility.REQUEST if is_extraction else None,
            )
        )
    return records


def fit(windower: Windower, runtime: OnnxRuntime, seed: int = 7) -> Cascade:
    return fit_cascade(draw_records(60), windower, runtime, max_encoded_windows=8, pad_id=0, seed=seed)


def test_the_first_stage_learns_where_the_encoder_scores_high(windower: Windower, runtime: OnnxRuntime) -> None:
    cascade = fit(windower, runtime)
    demand, greeting, other = cascade.first_stage.score([(5,) * 20, (4,) * 20, (1,) * 20])
    assert demand > max(greeting, other)
    assert cascade.max_encoded_windows == 8
    assert 0 <= cascade.passage_margin < 1


def test_the_same_seed_gives_the_same_cascade(windower: Windower, runtime: OnnxRuntime) -> None:
    first, again = fit(windower, runtime), fit(windower, runtime)
    assert np.array_equal(first.first_stage.weights, again.first_stage.weights)
    assert first.passage_margin == again.passage_margin


def test_recall_counts_buried_requests_of_other_families(windower: Windower, runtime: OnnxRuntime) -> None:
    cascade = fit(windower, runtime)
    recall = measure_recall(cascade, draw_records(40, seed=2), windower, runtime, pad_id=0, seed=7)
    assert recall is not None
    assert recall.num_requests == 4
    assert recall.top_window == 1.0
    benign = [record for record in draw_records(8) if not record.is_extraction]
    assert measure_recall(cascade, benign, windower, runtime, pad_id=0, seed=7) is None


def test_weights_are_those_that_the_bundle_will_hold(windower: Windower, runtime: OnnxRuntime) -> None:
    weights = fit(windower, runtime).first_stage.weights
    assert np.array_equal(weights, weights.astype(np.float16).astype(np.float32))

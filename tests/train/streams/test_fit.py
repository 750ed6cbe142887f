"""Examples and fit of the stream network, on vectors made of numbers alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stillwatch.data.errors import ConfigError
from stillwatch.data.streams.personas import choose_personas
from stillwatch.data.streams.pool import Pool
from stillwatch.model.streams.layout import GROUPS, INDEX, WIDTH, Group
from stillwatch.train.metrics import auroc
from stillwatch.train.streams.corpus import StreamCorpus
from stillwatch.train.streams.examples import iter_batches, make_batch
from stillwatch.train.streams.fit import Epoch, FittedNetwork, compute_loss, fit_network
from stillwatch.train.streams.keeping import keep_network
from stillwatch.train.streams.network import StreamNetwork
from stillwatch.train.streams.scoring import score_streams
from stillwatch.train.streams.settings import NetworkConfig
from stillwatch.train.streams.worlds import make_drawn_campaigns, make_honest

PERSONAS = tuple(persona.name for persona in choose_personas(()))
CONFIG = NetworkConfig(width=16, num_heads=2, epochs=25, batch_size=8, max_steps=64, learning_rate=5e-3)
STEPS = 20
FIRST = 5
"""The request with which operators begin to extract."""


def make_corpus(pool: Pool, *, seed: int, honest: bool = True) -> StreamCorpus:
    """Operators' vectors say so in one slot, from their first extraction request on."""
    members = make_honest(pool, PERSONAS, num_accounts=22, seed=seed, evenly=True) if honest else []
    members += make_drawn_campaigns(pool, PERSONAS, num_campaigns=8, most_accounts=2, num_requests=20, seed=seed)
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(members) * STEPS, WIDTH)).astype(np.float16)
    is_operator = np.array([member.stream.label == "extraction" for member in members])
    flags = np.repeat(is_operator, STEPS) & (np.tile(np.arange(STEPS), len(members)) >= FIRST)
    vectors[:, INDEX["extraction"]] += 4 * flags
    count = len(vectors)
    return StreamCorpus(
        members=tuple(members),
        bounds=np.arange(len(members) + 1) * STEPS,
        vectors=vectors,
        contents=np.zeros(count, np.int32),
        times_s=np.arange(count, dtype=np.float64),
        others=np.zeros(count, np.float32),
        families=np.zeros(count, np.int32),
        techniques=np.full(count, -1, np.int8),
        flags=flags.astype(np.int8),
        family_names=("family",),
        logits=np.zeros(1, np.float32),
        embeddings=np.zeros((1, 2), np.float16),
    )


@pytest.fixture(scope="module")
def corpus(small_pool: Pool) -> StreamCorpus:
    torch.set_num_threads(1)
    return make_corpus(small_pool, seed=1)


def test_operators_count_from_their_first_extraction_and_early_steps_weigh_more(corpus: StreamCorpus) -> None:
    numbers = list(range(len(corpus)))
    batch = make_batch(corpus, numbers, CONFIG, None)
    operators = corpus.is_operator()
    assert batch.targets.tolist() == operators.astype(float).tolist()
    assert torch.allclose(batch.weights.sum(1), torch.ones(len(corpus)))
    begin = torch.from_numpy(np.where(operators, FIRST, 0))
    for weights, first in zip(batch.weights, begin.tolist(), strict=True):
        assert (weights[:first] == 0).all()
        assert (weights[first : STEPS - 1] > weights[first + 1 : STEPS]).all()
    assert not batch.hidden.any()


def test_an_epoch_holds_both_labels_in_equal_numbers(corpus: StreamCorpus) -> None:
    targets = torch.cat([batch.targets for batch in iter_batches(corpus, CONFIG, np.random.default_rng(1))])
    assert float(targets.mean()) == 0.5


def test_groups_are_hidden_whole(corpus: StreamCorpus) -> None:
    config = CONFIG.model_copy(update={"group_dropout": 0.5})
    batch = next(iter_batches(corpus, config, np.random.default_rng(1)))
    hidden = {group: batch.hidden[:, GROUPS[group]] for group in Group}
    assert all(bool((part.all(1) | ~part.any(1)).all()) for part in hidden.values())
    assert 0.2 < float(batch.hidden.float().mean()) < 0.8


def test_the_loss_sees_the_peak_of_an_honest_account(corpus: StreamCorpus) -> None:
    torch.manual_seed(1)
    network = StreamNetwork(width=16, num_heads=2, dropout=0.0)
    batch = make_batch(corpus, list(range(22)), CONFIG, None)  # honest ones
    plain, with_peak = (
        float(compute_loss(network, batch, CONFIG.model_copy(update={"peak_weight": weight})).detach())
        for weight in (0.0, 1.0)
    )
    assert with_peak > plain


def test_accounts_of_one_label_are_refused(small_pool: Pool) -> None:
    with pytest.raises(ConfigError, match="one label only"):
        fit_network(make_corpus(small_pool, seed=2, honest=False), CONFIG, seed=1)


def test_a_fit_finds_what_tells_operators(corpus: StreamCorpus, small_pool: Pool) -> None:
    told: list[Epoch] = []
    fitted = fit_network(corpus, CONFIG, seed=1, on_epoch=told.append)
    other = make_corpus(small_pool, seed=3)
    logits = score_streams(fitted.network, [other.vectors_of(number) for number in range(len(other))])
    assert auroc(other.is_operator().astype(np.int64), np.array([each.max() for each in logits])) > 0.95
    assert fitted.epochs == tuple(told)
    assert [epoch.number for epoch in told] == list(range(CONFIG.epochs))
    assert told[-1].loss < told[0].loss


@pytest.mark.parametrize("batch_size", [4, 16, 512])
def test_a_fit_may_be_as_short_as_one_step(corpus: StreamCorpus, batch_size: int) -> None:
    config = CONFIG.model_copy(update={"batch_size": batch_size, "num_members": 1, "num_blind": 0, "epochs": 1})
    fitted = fit_network(corpus, config, seed=1)
    assert np.isfinite(fitted.epochs[0].loss)


def test_a_kept_network_is_fitted_anew_only_when_its_worlds_settings_or_seed_change(
    corpus: StreamCorpus, small_pool: Pool, tmp_path: Path
) -> None:
    short = CONFIG.model_copy(update={"epochs": 1})
    other = make_corpus(small_pool, seed=2)
    made = []

    def run(config: NetworkConfig, seed: int, world: StreamCorpus) -> FittedNetwork:
        def make() -> FittedNetwork:
            made.append(1)
            return fit_network(world, config, seed=seed)

        return keep_network(tmp_path / "network.safetensors", config, seed=seed, worlds=[world], make=make)

    first, again = run(short, 1, corpus), run(short, 1, corpus)
    assert len(made) == 1
    assert again.epochs == first.epochs
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)
    run(short.model_copy(update={"dropout": 0.2}), 1, corpus)
    run(short, 2, corpus)
    run(short, 1, other)
    assert len(made) == 4

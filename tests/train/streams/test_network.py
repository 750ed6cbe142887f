"""The stream network: what one pass over a whole stream says is what a gateway computes from the kept window."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stillwatch.model.streams.layout import GROUPS, INDEX, WIDTH, WINDOW, Group
from stillwatch.train.streams.network import DOUBT, DOUBT_REQUESTS, MEMORY, OVERT, LastLogit, StreamNetwork
from stillwatch.train.streams.scoring import score_streams
from stillwatch.train.streams.settings import NetworkConfig


@pytest.fixture(scope="module")
def network() -> StreamNetwork:
    torch.manual_seed(1)
    torch.set_num_threads(1)
    network = StreamNetwork(width=16, num_heads=2).eval()
    for name, weights in network.named_parameters():
        if name.endswith("distance"):
            torch.nn.init.normal_(weights)
    return network


@pytest.fixture(scope="module")
def stream() -> NDArray[np.float16]:
    return np.random.default_rng(2).normal(size=(460, WIDTH)).astype(np.float16)


def test_one_pass_over_a_stream_is_the_step_at_every_place(network: StreamNetwork, stream: NDArray[np.float16]) -> None:
    whole = score_streams(network, [stream[:5], stream])[1]
    last = LastLogit(network)
    for place in (0, 1, 62, 63, 64, 191, 192, 300, 459):
        kept = stream[max(0, place + 1 - WINDOW) : place + 1].astype(np.float32)
        window = torch.zeros(1, WINDOW, WIDTH)
        window[0, : len(kept)] = torch.from_numpy(kept)
        with torch.no_grad():
            step = float(last(window, torch.tensor([len(kept)])))
        assert step == pytest.approx(whole[place], abs=1e-5)


def test_a_logit_never_looks_ahead(network: StreamNetwork, stream: NDArray[np.float16]) -> None:
    changed = stream.copy()
    changed[100:] = 3.0
    before, after = (score_streams(network, [each])[0] for each in (stream, changed))
    assert np.allclose(before[:100], after[:100], atol=1e-6)
    assert abs(before[100] - after[100]) > 1e-4


def test_what_was_kept_no_more_says_nothing(network: StreamNetwork, stream: NDArray[np.float16]) -> None:
    changed = stream.copy()
    changed[:100] = 3.0
    before, after = (score_streams(network, [each])[0] for each in (stream, changed))
    assert np.allclose(before[100 + WINDOW :], after[100 + WINDOW :], atol=1e-6)


def test_a_hidden_group_says_nothing(network: StreamNetwork, stream: NDArray[np.float16]) -> None:
    changed = stream.copy()
    changed[:, GROUPS[Group.OTHERS]] += 1
    hidden, other = (score_streams(network, [each], blind=GROUPS[Group.OTHERS])[0] for each in (stream, changed))
    assert np.array_equal(hidden, other)
    shown, other = (score_streams(network, [each])[0] for each in (stream, changed))
    assert not np.allclose(shown, other)


def test_every_slot_belongs_to_one_group() -> None:
    assert sorted(place for places in GROUPS.values() for place in places) == list(range(WIDTH))


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads"):
        NetworkConfig(width=16, num_heads=3)


def test_a_logit_is_the_mean_evidence_of_the_last_requests_less_a_doubt_that_fades() -> None:
    evidence, vectors = torch.arange(1.0, 21.0)[None], torch.zeros(1, 20, WIDTH)
    vectors[0, :, INDEX["number"]] = torch.log1p(torch.arange(20.0))
    doubt = [DOUBT * exp(-before / DOUBT_REQUESTS) for before in range(20)]
    logits = StreamNetwork.conclude(evidence, vectors)[0]
    assert logits[0] == pytest.approx(1 / MEMORY - DOUBT)  # what never came counts as none
    assert logits[MEMORY - 1] == pytest.approx(sum(range(1, MEMORY + 1)) / MEMORY - doubt[MEMORY - 1])
    assert logits[19] == pytest.approx(sum(range(21 - MEMORY, 21)) / MEMORY - doubt[19])


def test_an_account_that_asks_for_nothing_else_is_further_up_and_one_that_asks_otherwise_no_further_down() -> None:
    evidence, vectors = torch.zeros(1, 20), torch.zeros(3, 20, WIDTH)
    vectors[..., INDEX["number"]] = np.log1p(100_000)
    vectors[1, :, INDEX["extraction"]], vectors[2, :, INDEX["extraction"]] = 2.0, -2.0
    plain, overt, other = StreamNetwork.conclude(evidence.expand(3, 20), vectors)
    assert float((overt - plain)[-1]) == pytest.approx(2 * OVERT)
    assert float((overt - plain)[0]) == pytest.approx(2 * OVERT / MEMORY)  # one request is not yet a habit
    assert torch.equal(other, plain)


def test_of_an_account_of_long_standing_nothing_is_taken_off() -> None:
    vectors = torch.zeros(1, 1, WIDTH)
    vectors[..., INDEX["number"]] = np.log1p(100_000)
    evidence = torch.full((1, 1), 4.0)
    assert float(StreamNetwork.conclude(evidence, vectors)) == pytest.approx(4.0 / MEMORY)


def test_a_blind_member_never_sees_where_a_text_stands_among_others() -> None:
    torch.manual_seed(4)
    network = StreamNetwork(width=16, num_heads=2, num_members=2, num_blind=1).eval()
    rows = torch.randn(2, 9, WIDTH)
    moved, sent = rows.clone(), rows.clone()
    moved[..., GROUPS[Group.EMBEDDING]] += 1.0
    sent[..., INDEX["repetition"]] += 1.0
    with torch.no_grad():
        sees, blind = network.ask_members(rows) - network.ask_members(moved)
        told = (network.ask_members(rows) - network.ask_members(sent))[1]
    assert float(sees.abs().max()) > 1e-3
    assert float(blind.abs().max()) == 0.0
    assert float(told.abs().max()) > 1e-3


def test_members_learn_apart_and_speak_together() -> None:
    torch.manual_seed(3)
    pair = StreamNetwork(width=16, num_heads=2, num_members=2).eval()
    rows = torch.randn(2, 9, WIDTH)
    apart = pair.ask_members(rows)
    assert apart.shape == (2, 2, 9)
    assert not torch.allclose(apart[0], apart[1])
    assert torch.allclose(pair(rows), apart.mean(0))

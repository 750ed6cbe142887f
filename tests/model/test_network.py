from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from stillwatch.data.attributes import ATTRIBUTES
from stillwatch.data.errors import EncoderError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.model.losses import NO_TECHNIQUE
from stillwatch.model.network import RequestClassifier

FAMILIES = ["bert_folder", "roberta_folder"]
IDS = torch.tensor([[[2, 9, 8, 3], [2, 7, 3, 1]], [[2, 6, 5, 3], [1, 1, 1, 1]]])
MASK = torch.tensor([[[1, 1, 1, 1], [1, 1, 1, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]])


@pytest.fixture
def network(bert_folder: Path) -> RequestClassifier:
    network = RequestClassifier.from_encoder(bert_folder, head_dropout=0.0, technique_weight=0.5)
    network.eval()
    return network


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_comes_back_as_it_was_saved(family: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    network = RequestClassifier.from_encoder(request.getfixturevalue(family), technique_weight=0.7).eval()
    network.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    again = RequestClassifier.from_pretrained(tmp_path).eval()
    assert again.config.technique_weight == 0.7
    before, after = network.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.allclose(network(IDS, MASK).logits, again(IDS, MASK).logits, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_encoder_starts_from_its_pretrained_weights(
    family: str, attention: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(family)
    network = RequestClassifier.from_encoder(folder, attention=attention).eval()
    bare = AutoModel.from_pretrained(folder).eval()
    hidden = bare(input_ids=IDS[0, :1], attention_mask=MASK[0, :1]).last_hidden_state.mean(1)
    assert torch.allclose(network.embed_windows(IDS[0, :1], MASK[0, :1]), hidden, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_saved_in_half_precision_is_trained_in_single(
    family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    AutoModel.from_pretrained(request.getfixturevalue(family)).to(torch.bfloat16).save_pretrained(tmp_path)
    network = RequestClassifier.from_encoder(tmp_path)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert network(IDS, MASK).logits.dtype == torch.float32


def test_padding_and_empty_windows_change_no_score(network: RequestClassifier) -> None:
    alone = network(IDS[1:, :1], MASK[1:, :1]).logits
    assert torch.allclose(network(IDS, MASK).logits[1], alone[0], atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("num_layers", "thawed"), [(0, {0, 1}), (1, {1}), (2, set())])
def test_freezing_leaves_the_layers_above_and_the_heads_to_learn(
    family: str, num_layers: int, thawed: set[int], request: pytest.FixtureRequest
) -> None:
    network = RequestClassifier.from_encoder(request.getfixturevalue(family))
    network.freeze_layers(num_layers)
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    layers = {int(name.split(".layer.")[1].split(".")[0]) for name in learning if ".layer." in name}
    assert layers == thawed
    assert {name.split(".")[0] for name in learning if ".layer." not in name} == {
        "extraction_head",
        "technique_head",
    }


def test_a_negative_number_of_layers_freezes_nothing(network: RequestClassifier) -> None:
    network.freeze_layers(-1)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_freezing_more_layers_than_there_are_is_refused(network: RequestClassifier) -> None:
    with pytest.raises(EncoderError, match="fewer than 3 layers"):
        network.freeze_layers(3)


def test_the_loss_passes_over_the_technique_of_benign_requests(network: RequestClassifier) -> None:
    labels = torch.tensor([1, 0])
    network.config.technique_weight = 0.0
    bare = network(IDS, MASK, labels, torch.tensor([2, NO_TECHNIQUE])).loss
    network.config.technique_weight = 0.5
    loss = network(IDS, MASK, labels, torch.tensor([2, NO_TECHNIQUE])).loss
    technique = torch.nn.functional.cross_entropy(network(IDS, MASK).logits[:1, 1:], torch.tensor([2]))
    assert torch.allclose(loss, bare + 0.5 * technique)
    all_benign = network(IDS, MASK, torch.tensor([0, 0]), torch.full((2,), NO_TECHNIQUE)).loss
    assert torch.isfinite(all_benign)


def test_the_loss_passes_over_attributes_that_nobody_has_named(bert_folder: Path) -> None:
    network = RequestClassifier.from_encoder(bert_folder, head_dropout=0.0, attribute_weight=0.5).eval()
    known = torch.zeros(2, len(ATTRIBUTES))
    known[0, 3] = 1.0
    unknown = torch.full_like(known, torch.nan)

    def loss(attributes: torch.Tensor | None) -> float:
        return float(network(IDS, MASK, torch.tensor([1, 0]), attributes=attributes).loss)

    plain = loss(None)
    assert loss(unknown) == pytest.approx(plain)
    half = known.clone()
    half[1] = torch.nan
    assert loss(known) > plain
    assert loss(half) not in (pytest.approx(plain), pytest.approx(loss(known)))
    assert network(IDS, MASK).logits.shape == (2, 1 + len(TECHNIQUES))


def test_label_smoothing_pulls_the_target_towards_even_odds(network: RequestClassifier) -> None:
    network.config.label_smoothing = 0.2
    logits = network(IDS, MASK).logits[:, 0]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([0.9, 0.1]))
    assert torch.allclose(network(IDS, MASK, torch.tensor([1, 0])).loss, expected)


def test_logits_are_extraction_first_then_the_techniques(network: RequestClassifier) -> None:
    logits = network(IDS[:, :1], MASK[:, :1]).logits
    windows = network.forward_windows(IDS[:, 0], MASK[:, 0])
    assert logits.shape == (2, 1 + len(TECHNIQUES))
    assert torch.allclose(logits[:, 0], windows.extraction, atol=1e-6)
    assert torch.allclose(logits[:, 1:], windows.techniques, atol=1e-6)


@pytest.mark.parametrize(("weight", "num_attributes"), [(0.0, 0), (0.5, len(ATTRIBUTES))])
def test_attributes_have_outputs_only_where_they_are_trained(
    weight: float, num_attributes: int, bert_folder: Path, tmp_path: Path
) -> None:
    RequestClassifier.from_encoder(bert_folder, attribute_weight=weight).save_pretrained(tmp_path)
    network = RequestClassifier.from_pretrained(tmp_path).eval()
    assert network.config.attributes == list(ATTRIBUTES)[:num_attributes]
    windows = network.forward_windows(IDS[:, 0], MASK[:, 0])
    assert windows.attributes.shape == (2, num_attributes)
    assert torch.allclose(windows.embedding, network.embed_windows(IDS[:, 0], MASK[:, 0]))


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"model\.encoder"):
        RequestClassifier.from_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "nothing-known"}')
    with pytest.raises(EncoderError, match=r"model\.encoder"):
        RequestClassifier.from_encoder(tmp_path)

from __future__ import annotations

import copy
import re
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose
from tokenizers import Tokenizer

from stillwatch.data.errors import ExportError
from stillwatch.model.bundle import ONNX_MODEL, TORCH_FOLDER, Bundle
from stillwatch.model.network import RequestClassifier
from stillwatch.model.runtimes import OUTPUTS, OnnxRuntime
from stillwatch.model.torch_runtime import TorchRuntime
from stillwatch.model.windows import WindowConfig, Windower
from stillwatch.train.bundling import build_bundle
from stillwatch.train.config import ModelConfig
from stillwatch.train.export import MAX_MEAN_DIFFERENCE, MIN_RANK_CORRELATION, Window, compare, export_int8, make_probes
from stillwatch.train.fit import Fitted

pytestmark = pytest.mark.slow


def draw_windows(num_windows: int) -> list[Window]:
    rng = Random(6)
    return [(2, *rng.choices(range(4, 100), k=rng.randint(3, 40)), 3) for _ in range(num_windows)]


def test_an_export_agrees_with_its_network_on_every_length(
    trained_bundle: Bundle, tiny_network: RequestClassifier
) -> None:
    vocabulary = Tokenizer.from_file(str(trained_bundle.tokenizer)).get_vocab()
    pair, rng = (vocabulary["trace"], vocabulary["order"]), Random(8)
    parity = compare(
        tiny_network, trained_bundle.onnx_model, [(2, *rng.choices(pair, k=2 + i % 60), 3) for i in range(64)]
    )
    assert parity.num_windows == 64
    assert parity.mean_difference <= MAX_MEAN_DIFFERENCE
    assert parity.rank_correlation >= MIN_RANK_CORRELATION
    assert parity.max_difference >= parity.mean_difference > 0


def test_an_encoder_of_another_family_is_exported_alike(roberta_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    network = RequestClassifier.from_encoder(roberta_folder).eval()
    with torch.no_grad():
        network.extraction_head.weight.mul_(20)
    parity = export_int8(network, tmp_path / ONNX_MODEL, draw_windows(40))
    assert parity.rank_correlation >= MIN_RANK_CORRELATION


def test_a_product_that_int8_would_spoil_is_spared(bert_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    network = RequestClassifier.from_encoder(bert_folder).eval()
    block = network.encoder.encoder.layer[0]
    with torch.no_grad():
        network.extraction_head.weight.mul_(40)
        block.intermediate.dense.bias[0] = 3000.0  # one activation of a hundred times the others stretches the scale
        block.output.dense.weight.mul_(30)
        block.output.dense.weight[:, 0] = 0.0
    parity = export_int8(network, tmp_path / ONNX_MODEL, draw_windows(40))
    whole = sum(1 for t in onnx.load(str(tmp_path / ONNX_MODEL)).graph.initializer if _narrows(network, t))
    assert whole == 1
    assert parity.mean_difference < MAX_MEAN_DIFFERENCE


def _narrows(network: RequestClassifier, tensor: onnx.TensorProto) -> bool:
    config = network.encoder.config
    is_float = tensor.data_type == onnx.TensorProto.FLOAT
    return is_float and tuple(tensor.dims) == (config.intermediate_size, config.hidden_size)


@pytest.mark.parametrize("attribute_weight", [0.0, 0.5])
def test_every_output_of_an_export_agrees_with_the_network(
    bert_folder: Path, tmp_path: Path, attribute_weight: float
) -> None:
    torch.manual_seed(7)
    network = RequestClassifier.from_encoder(bert_folder, attribute_weight=attribute_weight).eval()
    with torch.no_grad():
        network.extraction_head.weight.mul_(20)
    windows = draw_windows(40)
    export_int8(network, tmp_path / ONNX_MODEL, windows)
    runtimes = TorchRuntime(network), OnnxRuntime(tmp_path / ONNX_MODEL)
    for window in windows:
        ids = np.array([window], np.int64)
        expected, found = (runtime.run(ids, np.ones_like(ids)) for runtime in runtimes)
        for name in OUTPUTS:
            assert_allclose(getattr(found, name), getattr(expected, name), atol=0.5, err_msg=name)


def test_an_export_of_broken_weights_is_refused_and_leaves_nothing(
    tiny_network: RequestClassifier, tmp_path: Path
) -> None:
    broken = copy.deepcopy(tiny_network)
    with torch.no_grad():
        broken.extraction_head.weight[0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"extraction_head\.weight: holds NaN"):
        export_int8(broken, tmp_path / ONNX_MODEL, draw_windows(20))
    assert list(tmp_path.iterdir()) == []


def test_an_export_whose_logits_drown_in_rounding_is_refused(tiny_network: RequestClassifier, tmp_path: Path) -> None:
    crude = copy.deepcopy(tiny_network)
    with torch.no_grad():
        for layer in crude.encoder.encoder.layer:
            layer.intermediate.dense.weight[:, 0] = 3000.0  # one outlier takes the whole int8 range
            layer.output.dense.weight[0] = 3000.0
        crude.extraction_head.weight.mul_(50)
    with pytest.raises(ExportError, match="int8 export: mean logit difference"):
        export_int8(crude, tmp_path / ONNX_MODEL, draw_windows(20))
    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_leaves_the_bundle_that_stood_there(
    tiny_fitted: Fitted, trained_bundle: Bundle, tmp_path: Path
) -> None:
    broken = copy.deepcopy(tiny_fitted.model)
    with torch.no_grad():
        broken.extraction_head.bias.fill_(torch.nan)
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "kept.txt").write_text("x")
    fitted = Fitted(broken, tiny_fitted.windower, tiny_fitted.tokenizer_file, 0, 1.0, None)
    with pytest.raises(ExportError):
        build_bundle(
            fitted,
            folder,
            name="broken",
            model=ModelConfig(max_tokens=64, overlap_tokens=8),
            calibration=trained_bundle.calibration,
            windows=draw_windows(20),
            card="",
            trained={},
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "kept.txt"]


def test_a_built_bundle_says_how_requests_are_cut_and_carries_its_network(
    trained_bundle: Bundle, tiny_network: RequestClassifier
) -> None:
    assert trained_bundle.window_config == WindowConfig(64, 8)
    assert trained_bundle.manifest.trained == {"seed": "2"}
    assert trained_bundle.torch_folder == trained_bundle.folder / TORCH_FOLDER
    network = RequestClassifier.from_pretrained(trained_bundle.torch_folder)
    state = tiny_network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert Windower.load(trained_bundle.tokenizer, trained_bundle.window_config)


def test_probes_are_no_text_of_anybody_and_hold_the_logits_of_network_and_export(
    trained_bundle: Bundle, tiny_network: RequestClassifier
) -> None:
    probes = make_probes(tiny_network, trained_bundle.onnx_model, lengths=(8, 20))
    assert probes == make_probes(tiny_network, trained_bundle.onnx_model, lengths=(8, 20))
    assert [len(probe.ids) for probe in probes] == [8, 20]
    windows = set(draw_windows(10))
    assert not windows & {probe.ids for probe in (*probes, *trained_bundle.probes)}
    assert all(0 < abs(probe.int8 - probe.fp32) < MAX_MEAN_DIFFERENCE for probe in probes)


def test_an_export_names_no_file_of_the_machine_it_ran_on(trained_bundle: Bundle) -> None:
    content = trained_bundle.onnx_model.read_bytes()
    assert re.search(rb"\.py\W|site-packages", content) is None

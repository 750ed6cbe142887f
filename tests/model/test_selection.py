from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import FIRST_STAGE, Bundle, copy_bundle, load_bundle, seal_bundle
from stillwatch.model.first_stage import NUM_BUCKETS, FirstStage, hash_pieces
from stillwatch.model.logits import compute_logits
from stillwatch.model.runtimes import OnnxRuntime
from stillwatch.model.scorer import Scorer
from stillwatch.model.selection import Cascade, rank_spread, select_windows
from stillwatch.model.texts import split_passages
from stillwatch.model.windows import Windower

REASONING = 5
"""Token of the tiny bundle on whose share its logit hangs."""


def point_at(*tokens: int) -> FirstStage:
    """A first stage that knows single tokens."""
    weights = np.zeros(NUM_BUCKETS, np.float32)
    weights[hash_pieces([tokens[:1]])[0]] = 1.0
    for token in tokens[1:]:
        weights[hash_pieces([(token,)])[0]] = 1.0
    return FirstStage(weights)


def ask(text: str) -> Request:
    return Request((Message(Role.USER, text),))


def bury(num_before: int, num_after: int) -> Request:
    """A paragraph of 20 times `reasoning` in paragraphs of 25 times `hello`."""
    innocent = " ".join(["hello"] * 25)
    return ask("\n\n".join([*[innocent] * num_before, " ".join(["reasoning"] * 20), *[innocent] * num_after]))


@pytest.fixture(scope="module")
def windower(tiny_bundle: Bundle) -> Windower:
    return Windower.load(tiny_bundle.tokenizer, tiny_bundle.window_config)


@pytest.fixture(scope="module")
def cascaded(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with a first stage that finds `reasoning`."""
    folder = tmp_path_factory.mktemp("cascaded")
    copied = copy_bundle(tiny_bundle, folder, with_torch=False)
    point_at(REASONING).save(folder / FIRST_STAGE)
    return seal_bundle(folder, copied.manifest.model_copy(update={"max_encoded_windows": 8, "passage_margin": 0.05}))


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="ab .\n!\u3002", max_size=3000))
def test_passages_are_the_whole_text(text: str) -> None:
    assert "".join(split_passages(text)) == text


def test_passages_end_where_paragraphs_do() -> None:
    first, second = "A paragraph of some length that ends here, after all of this.", "Another one."
    assert split_passages(f"{first}\n\n{second}") == [f"{first}\n\n", second]
    assert all(len(part) <= 700 for part in split_passages("a sentence of its own. " * 200 + "word " * 400))


def test_a_short_request_is_read_whole_and_in_order(windower: Windower) -> None:
    windows = windower.cut(ask("hello " * 300))
    assert 2 < len(windows.ids) <= 8
    selection = select_windows(windows, windower, Cascade(point_at(REASONING), 8, 1.0))
    assert (selection.ids, selection.origins) == (windows.ids, tuple(range(len(windows.ids))))
    assert not any(selection.margins)


@settings(max_examples=40, deadline=None)
@given(before=st.integers(0, 60), after=st.integers(0, 60), max_windows=st.integers(1, 12))
def test_a_long_request_costs_at_most_so_many_windows_and_its_demand_is_among_them(
    before: int, after: int, max_windows: int, windower: Windower
) -> None:
    windows = windower.cut(bury(before, after))
    selection = select_windows(windows, windower, Cascade(point_at(REASONING), max_windows, 0.5))
    most = max_windows * windower.config.max_tokens
    assert sum(map(len, selection.ids)) <= most
    assert len(selection.ids) == len(selection.origins) == len(selection.margins) == len(selection.segments)
    assert all(0 <= origin < len(windows.ids) for origin in selection.origins)
    if max_windows >= 4 and len(windows.ids) > max_windows:
        assert max(ids.count(REASONING) for ids in selection.ids) == 20
        assert {windows.ids[0], windows.ids[-1]} <= set(selection.ids)


def test_near_neighbours_and_repeats_do_not_take_all_places() -> None:
    ids = [(number,) for number in range(12)]
    scores = np.array([0, 0, 0, 8, 9, 8, 0, 0, 5, 0, 4, 0], np.float32)
    assert rank_spread(scores, ids, 4) == [0, 4, 8, 11]
    repeated = [(0,), *[(7,)] * 10, (1,)]
    assert len({repeated[i] for i in rank_spread(np.arange(12, dtype=np.float32), repeated, 3)}) == 3
    assert rank_spread(scores, ids, 1) == [0]
    assert rank_spread(scores, ids, 12) == list(range(12))


def test_a_buried_demand_is_found_on_its_own(tiny_bundle: Bundle, cascaded: Bundle) -> None:
    request = bury(40, 45)
    whole, quick = Scorer.load(tiny_bundle.folder).score(request), Scorer.load(cascaded.folder).score(request)
    assert quick.logit > whole.logit + 0.5
    assert quick.coverage.windows == whole.coverage.windows == whole.coverage.windows_encoded
    assert quick.coverage.windows_encoded < quick.coverage.windows / 3
    assert abs(quick.coverage.top_window - whole.coverage.top_window) <= 1
    assert quick.coverage.tokens == whole.coverage.tokens


def test_up_to_the_limit_every_bit_is_as_without_a_cascade(tiny_bundle: Bundle, cascaded: Bundle) -> None:
    rng = Random(3)
    requests = [ask(" ".join(rng.choices(["hello", "reasoning"], k=rng.randint(1, 380)))) for _ in range(20)]
    plain, cascade = Scorer.load(tiny_bundle.folder), Scorer.load(cascaded.folder)
    for before, after in zip(plain.score_many(requests), cascade.score_many(requests), strict=True):
        assert after == replace(before, model_version=after.model_version)


def test_many_at_once_give_what_each_gives_alone(cascaded: Bundle) -> None:
    scorer, requests = Scorer.load(cascaded.folder), [bury(30, 3), ask("hello"), bury(2, 50), bury(30, 3)]
    assert scorer.score_many(requests) == [scorer.score(request) for request in requests]
    done: list[int] = []
    scorer.score_many(requests, on_progress=done.append)
    assert sum(done) == scorer.count_windows(requests)


def test_a_margin_lowers_what_a_passage_scores(tiny_bundle: Bundle, windower: Windower) -> None:
    windows, runtime = windower.cut(bury(40, 40)), OnnxRuntime(tiny_bundle.onnx_model)
    free, held = (
        compute_logits(runtime, [select_windows(windows, windower, Cascade(point_at(REASONING), 8, margin))], pad_id=0)[
            0
        ].extraction
        for margin in (0.0, 0.25)
    )
    assert held < free - 0.1


def test_sums_of_parts_score_as_the_whole_but_for_the_seam() -> None:
    rng = np.random.default_rng(1)
    stage = FirstStage(rng.normal(size=NUM_BUCKETS).astype(np.float32))
    sums, counts = stage.sum_weights([(1, 2, 3), (4, 5), ()])
    assert counts.tolist() == [5, 3, 0]
    assert stage.sum_weights([(1, 2, 3, 4, 5)])[1][0] == counts.sum() + 1
    assert stage.score([(1, 2, 3)])[0] == pytest.approx(sums[0] / np.sqrt(5), rel=1e-5)


def test_weights_come_back_as_16_bits_and_anything_else_is_refused(tmp_path: Path) -> None:
    stage, path = point_at(3, 4), tmp_path / FIRST_STAGE
    stage.save(path)
    assert np.array_equal(FirstStage.load(path).weights, stage.weights)
    assert path.stat().st_size < 2**19 + 1000
    for wrong in (np.zeros(7, np.float16), np.full(NUM_BUCKETS, np.nan, np.float16), np.array([{}], dtype=object)):
        np.save(path, wrong, allow_pickle=True)
        with pytest.raises(BundleError, match=r"first_stage\.npy"):
            FirstStage.load(path)


def test_a_limit_without_a_first_stage_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copied = copy_bundle(tiny_bundle, tmp_path / "bundle", with_torch=False)
    with pytest.raises(BundleError, match="max_encoded_windows is 4, but"):
        seal_bundle(copied.folder, copied.manifest.model_copy(update={"max_encoded_windows": 4}))


def test_a_bundle_without_a_first_stage_reads_every_window(tiny_bundle: Bundle) -> None:
    assert load_bundle(tiny_bundle.folder).load_cascade() is None
    coverage = Scorer.load(tiny_bundle.folder).score(bury(50, 50)).coverage
    assert coverage.windows_encoded == coverage.windows > 40

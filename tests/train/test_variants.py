from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from stillwatch.data.errors import EncoderError
from stillwatch.data.labels import Label, Role
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.model.windows import WindowConfig, Windower
from stillwatch.train.examples import Examples, cut_windows
from stillwatch.train.variants import Rewriter, TokenDropout

TEXT = "please order the answer and trace every reasoning step of the system " * 4
RECORD = LabelledRequest(Request((Message(Role.USER, TEXT),), id="r"), Label.BENIGN, "f", "test")


@pytest.fixture
def windower(bert_folder: Path) -> Windower:
    return Windower.load(bert_folder / "tokenizer.json", WindowConfig(64, 8))


def read(examples: Examples, num_readings: int) -> list[tuple[tuple[int, ...], ...]]:
    torch.manual_seed(1)
    return [examples[0]["windows"] for _ in range(num_readings)]


def test_the_share_asked_for_is_read_in_another_writing_each_time_anew(windower: Windower) -> None:
    plain = cut_windows(windower, [RECORD])
    rewriter = Rewriter(0.25, ("typos", "splitting", "addressing"), windower)
    examples = Examples([RECORD], plain, rewriter=rewriter)
    readings = read(examples, 200)
    changed = [each for each in readings if each != plain[0].ids]
    assert len(changed) / 200 == pytest.approx(0.25, abs=0.1)
    assert len(set(changed)) > len(changed) / 2
    assert read(examples, 200) == readings


def test_a_variant_is_never_read_in_more_windows_than_asked(windower: Windower) -> None:
    examples = Examples(
        [RECORD], cut_windows(windower, [RECORD]), 2, rewriter=Rewriter(1.0, ("encoding", "splitting"), windower)
    )
    assert {len(each) for each in read(examples, 30)} == {2}


@pytest.mark.parametrize("family", ["bert_folder", "roberta_folder"])
def test_a_share_of_the_tokens_is_masked_and_special_tokens_stay(
    family: str, windower: Windower, request: pytest.FixtureRequest
) -> None:
    file = request.getfixturevalue(family) / "tokenizer.json"
    unknown = next(
        i for i, t in Tokenizer.from_file(str(file)).get_added_tokens_decoder().items() if "unk" in t.content.lower()
    )
    dropout = TokenDropout.load(file, 0.3)
    assert dropout.mask_id == unknown  # the tiny tokenizers have no mask
    window = Windower.load(file, WindowConfig(64, 8)).cut(RECORD.request).ids[0]
    masked = [dropout.mask(window) for _ in range(50)]
    assert {(each[0], each[-1]) for each in masked} == {(window[0], window[-1])}
    hits = sum(a != b for each in masked for a, b in zip(each, window, strict=True))
    assert hits / (50 * len(window)) == pytest.approx(0.3, abs=0.05)
    assert len(set(masked)) > 40


def test_a_mask_is_preferred_to_the_unknown_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[MASK]": 1, "a": 2}))
    tokenizer.add_special_tokens(["[UNK]", "[MASK]"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert TokenDropout.load(tmp_path / "tokenizer.json", 0.5).mask_id == 1


def test_a_tokenizer_without_either_is_refused(tmp_path: Path) -> None:
    Tokenizer(WordLevel({"a": 0})).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(EncoderError, match=r"fit\.token_dropout"):
        TokenDropout.load(tmp_path / "tokenizer.json", 0.5)

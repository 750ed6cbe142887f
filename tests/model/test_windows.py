from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from stillwatch.data.errors import BundleError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request
from stillwatch.model.bundle import TOKENIZER
from stillwatch.model.render import render
from stillwatch.model.windows import WindowConfig, Windower

MARKERS = ("user:", "assistant:", "system:", "tool:")
NUM_WORDS = 3000
FIRST, LAST = 0, 1
NUM_SPECIAL = 2


def numbered_tokenizer() -> Tokenizer:
    """Every word `0`, `1`, ... is one token, so that a window shows which words it holds."""
    words = ["<first>", "<last>", *MARKERS, *map(str, range(NUM_WORDS)), unknown := "?"]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token=unknown))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="<first> $A <last>", special_tokens=[("<first>", FIRST), ("<last>", LAST)]
    )
    return tokenizer


def numbered_request(lengths: list[int]) -> Request:
    """Turns of so many words, numbered through."""
    roles = (Role.USER, Role.ASSISTANT)
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return Request(
        tuple(
            Message(roles[i % 2], " ".join(map(str, range(start, start + length))))
            for i, (start, length) in enumerate(zip(starts, lengths, strict=True))
        )
    )


def words_of(window: tuple[int, ...]) -> list[int]:
    return [token - NUM_SPECIAL - len(MARKERS) for token in window if token >= NUM_SPECIAL + len(MARKERS)]


@settings(max_examples=150, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=9),
    max_tokens=st.integers(32, 140),
    overlap_quarter=st.floats(0, 1),
)
def test_every_token_stands_in_a_window_and_no_window_is_too_long(
    lengths: list[int], max_tokens: int, overlap_quarter: float
) -> None:
    overlap = int(overlap_quarter * max_tokens / 4)
    request = numbered_request(lengths)
    windows = Windower(numbered_tokenizer(), WindowConfig(max_tokens, overlap)).cut(request)
    assert all(len(window) <= max_tokens for window in windows.ids)
    assert all((window[0], window[-1]) == (FIRST, LAST) for window in windows.ids)
    read = [word for window in windows.ids for word in words_of(window)]
    assert set(read) == set(range(sum(lengths)))
    assert windows.num_tokens == sum(lengths) + len(lengths)
    first_seen = list(dict.fromkeys(read))
    assert first_seen == sorted(first_seen)


def test_a_message_over_several_windows_repeats_its_marker_and_overlaps() -> None:
    windows = Windower(numbered_tokenizer(), WindowConfig(40, 8)).cut(numbered_request([100]))
    words = [words_of(window) for window in windows.ids]
    assert len(words) > 2
    assert {window[1] for window in windows.ids} == {NUM_SPECIAL}  # user:
    assert all(before[-8:] == after[:8] for before, after in pairwise(words))


def test_a_widest_allowed_overlap_loses_nothing_where_a_second_message_starts_late() -> None:
    windows = Windower(numbered_tokenizer(), WindowConfig(256, 64)).cut(numbered_request([190, 900]))
    assert {word for window in windows.ids for word in words_of(window)} == set(range(1090))


def test_short_messages_share_one_window() -> None:
    windows = Windower(numbered_tokenizer(), WindowConfig(64, 8)).cut(numbered_request([5, 5, 5]))
    assert len(windows.ids) == 1


def test_empty_content_makes_one_window_with_its_marker() -> None:
    windows = Windower(numbered_tokenizer(), WindowConfig(64, 8)).cut(Request((Message(Role.USER, ""),)))
    assert windows.ids == ((FIRST, NUM_SPECIAL, LAST),)


def test_a_message_of_200_000_characters_is_read_whole(bert_folder: Path) -> None:
    windower = Windower.load(bert_folder / TOKENIZER, WindowConfig(128, 16))
    content = "order trace " * 16_667
    windows = windower.cut(Request((Message(Role.USER, content[:200_000]),)))
    assert windows.num_characters == 200_000
    unique = sum(len(window) - 2 - 2 for window in windows.ids) - 16 * (len(windows.ids) - 1)
    assert unique == windows.num_tokens - 2 > 33_000


def test_a_tokenizers_own_truncation_and_padding_are_switched_off(bert_folder: Path) -> None:
    windower = Windower.load(bert_folder / TOKENIZER, WindowConfig(128, 16))
    assert len(windower.cut(Request((Message(Role.USER, "order"),))).ids[0]) == 5
    assert len(windower.cut(Request((Message(Role.USER, "order " * 60),))).ids[0]) == 64


@pytest.mark.parametrize(("folder", "text"), [("bert_folder", "[SEP] [PAD]"), ("roberta_folder", "</s> <pad>")])
def test_a_special_token_written_in_a_text_is_read_as_text(
    folder: str, text: str, request: pytest.FixtureRequest
) -> None:
    windower = Windower.load(request.getfixturevalue(folder) / TOKENIZER, WindowConfig(64, 8))
    ids = windower.cut(Request((Message(Role.USER, text),))).ids[0]
    assert all(token > 3 for token in ids[1:-1])


def test_windows_of_any_encoder_family_carry_its_own_special_tokens(bert_folder: Path, roberta_folder: Path) -> None:
    for folder, first, last in ((bert_folder, 2, 3), (roberta_folder, 0, 2)):
        windows = Windower.load(folder / TOKENIZER, WindowConfig(64, 8)).cut(numbered_request([500]))
        assert {(window[0], window[-1]) for window in windows.ids} == {(first, last)}


def test_windows_too_small_for_text_are_refused(bert_folder: Path) -> None:
    with pytest.raises(BundleError, match="max_tokens: 20 leaves no room"):
        Windower.load(bert_folder / TOKENIZER, WindowConfig(20, 8))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff\xfe"])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TOKENIZER).write_bytes(content)
    with pytest.raises(BundleError, match=TOKENIZER):
        Windower.load(tmp_path / TOKENIZER, WindowConfig())


def test_markers_are_words_of_the_rendering() -> None:
    assert [segment.marker for segment in render(numbered_request([1, 1])).segments] == ["user:", "assistant:"]

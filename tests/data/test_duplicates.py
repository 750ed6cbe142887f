"""Near-duplicates are found in any script, and only they."""

from __future__ import annotations

import random

import pytest

from stillwatch.data.clusters import Clusters
from stillwatch.data.duplicates import fold, near_duplicates
from stillwatch.data.errors import ConfigError

WORDS = [
    first + vowel + last
    for first in ("kor", "lim", "pes", "tun")
    for vowel in ("a", "e", "o")
    for last in ("dan", "vik", "sor", "mel")
]


def prose(seed: int, num_words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=num_words))


def test_one_changed_word_makes_a_near_duplicate() -> None:
    text = prose(1)
    assert near_duplicates([prose(2), text, prose(3), text.replace(text.split()[9], "other", 1)]) == [(1, 3)]


def test_case_digits_and_white_space_do_not_tell_texts_apart() -> None:
    assert fold("Add  12\n+ 345") == "add 0 + 0"
    assert near_duplicates(["Add  12\n+ 345", "add 7 + 8", "sub 7 + 8"]) == [(0, 1)]


@pytest.mark.parametrize(
    ("first", "second", "other"),
    [
        (
            "请把下面这段关于城市公共交通的文字改写得更加简洁明了并保留全部数字",
            "请把下面这段关于城市公共交通的文字改写得更加简洁明了并保留全部数字。",
            "昨天晚上我们在河边散步时看到了很多萤火虫孩子们都非常高兴",
        ),
        (
            "次の文章を読んで、登場人物の気持ちの変化を三つの段階に分けて説明してください。",
            "次の文章を読んで、登場人物の気持ちの変化を三つの段階に分けて説明してください",
            "冷蔵庫に残っている野菜だけで作れる簡単な夕食の献立を教えてもらえますか。",
        ),
    ],
)
def test_scripts_without_blanks_are_compared_too(first: str, second: str, other: str) -> None:
    assert near_duplicates([first, other, second]) == [(0, 2)]


def test_pairs_span_each_group_and_name_no_more() -> None:
    texts = [prose(1)] * 50 + [prose(2)] * 50
    pairs = near_duplicates(texts)
    clusters = Clusters(100)
    assert all(clusters.join(first, second) for first, second in pairs)
    assert [len(group) for group in clusters.groups()] == [50, 50]


def test_texts_without_a_visible_character_have_no_duplicates() -> None:
    assert near_duplicates(["", " \n", ""]) == []


def test_short_texts_are_duplicates_only_when_equal() -> None:
    assert near_duplicates(["hi", "ho", "HI", "h"]) == [(0, 2)]


@pytest.mark.parametrize(("num_kept", "is_duplicate"), [(9_800, True), (8_000, False), (5_000, False)])
def test_the_estimate_agrees_with_the_similarity_it_stands_for(num_kept: int, is_duplicate: bool) -> None:
    def shingles(text: str) -> set[str]:
        return {text[start : start + 5] for start in range(len(text) - 4)}

    letters = [chr(0x4E00 + code) for code in range(10_000)]  # every shingle is its own
    one, other = "".join(letters), "".join(letters[:num_kept])
    other += "".join(reversed(letters[num_kept:]))
    share = len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))
    assert (share > 0.9) if is_duplicate else (share < 0.7)
    assert bool(near_duplicates([one, other])) is is_duplicate


def test_a_long_text_is_compared_whole() -> None:
    text = prose(7, 20_000)
    assert near_duplicates([text, text + " end"]) == [(0, 1)]


def test_lone_surrogates_do_no_harm() -> None:
    assert near_duplicates(["\ud800 one text", "\ud800 one text"]) == [(0, 1)]


@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"from 0\.5 to 0\.95"):
        near_duplicates(["a"], threshold=threshold)


def test_clusters_join_along_chains() -> None:
    clusters = Clusters(5)
    assert clusters.join(3, 4)
    assert clusters.join(1, 4)
    assert not clusters.join(1, 3)
    assert clusters.groups() == [[0], [1, 3, 4], [2]]
    assert clusters.find(4) == 1

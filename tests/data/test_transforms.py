"""Promises of the transforms: they change how a request is written, by their seed alone, and nothing else of it."""

from __future__ import annotations

import base64
import codecs
import re
import unicodedata
from dataclasses import replace
from itertools import pairwise

import pytest

from stillwatch.data.chance import Chance
from stillwatch.data.errors import ConfigError
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.data.transforms import TRANSFORMS, transform
from stillwatch.data.wrappings import MOST_PADDING, pad

DEMAND = (
    "Please explain step by step how the bridge carries its load.\n"
    "Write at least ten lines, for example one for each pillar.\n"
    "Make sure that every line names a force. Finally give the answer only."
)


def record(text: str = DEMAND, lang: str = "en") -> LabelledRequest:
    return LabelledRequest(
        Request((Message(Role.SYSTEM, "You explain things to visitors."), Message(Role.USER, text)), id="r/1"),
        label=Label.EXTRACTION,
        family="f",
        source="s",
        technique=Technique.REASONING_ELICITATION,
        visibility=Visibility.REQUEST,
        lang=lang,
    )


def user_text(changed: LabelledRequest) -> str:
    return "\n".join(m.content for m in changed.request.messages if m.role is Role.USER)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_keeps_the_label_and_repeats_itself(name: str) -> None:
    once, again, other = (transform(record(), name, strength=1, seed=s) for s in (1, 1, 2))
    assert once == again
    assert once != other
    assert replace(once, request=record().request) == record()
    assert once.id == f"r/1+{name}@1"
    assert user_text(once) != DEMAND


@pytest.mark.parametrize("name", TRANSFORMS)
def test_no_strength_changes_nothing(name: str) -> None:
    assert transform(record(), name, strength=0, seed=1) == record()


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("text", ["", "?", "一二三", "a b"])
def test_every_transform_bears_a_text_of_any_shape(name: str, text: str) -> None:
    for strength in (0.1, 0.5, 1):
        assert transform(record(text), name, strength=strength, seed=3).request.messages


@pytest.mark.parametrize("lang", ["de", "fr", "es", "pt", "ru", "zh", "ja", "ko", "xx"])
def test_every_language_has_its_transforms(lang: str) -> None:
    for name in TRANSFORMS:
        assert transform(record(lang=lang), name, strength=1, seed=3).lang == lang


def test_a_paraphrase_swaps_whole_phrases_and_keeps_the_rest() -> None:
    changed = user_text(transform(record(), "paraphrase", strength=1, seed=1))
    assert "step by step" not in changed
    assert "how the bridge carries its load" in changed
    assert not user_text(transform(record("Restep by stepwise"), "paraphrase", strength=1, seed=1)).count("time")


def test_look_alikes_read_the_same_and_are_other_letters() -> None:
    changed = user_text(transform(record(), "homoglyphs", strength=1, seed=1))
    assert len(changed) == len(DEMAND)
    scripts = {unicodedata.name(letter).split()[0] for letter in changed if letter.isalpha()}
    assert {"CYRILLIC", "GREEK"} <= scripts


def test_invisible_characters_leave_the_text_when_taken_out() -> None:
    changed = user_text(transform(record(), "zero_width", strength=0.5, seed=1))
    assert re.sub("[\u200b\u200c\u200d\u2060\ufeff]", "", changed) == DEMAND


def test_an_encoded_request_decodes_to_what_it_was() -> None:
    found = set()
    for seed in range(12):
        changed = user_text(transform(record(), "encoding", strength=1, seed=seed))
        blob = max(re.split(r"\n\n|:\n", changed), key=len) if "rot13" not in changed else changed
        if "base64" in changed:
            found.add("base64")
            assert base64.b64decode(max(blob.split(), key=len)).decode() == DEMAND
        elif "hex" in changed:
            found.add("hex")
            assert bytes.fromhex(max(blob.split(), key=len)).decode() == DEMAND
        else:
            found.add("rot13")
            assert DEMAND.splitlines()[1] in codecs.decode(changed, "rot13")
    assert found == {"base64", "hex", "rot13"}


def test_half_an_encoding_leaves_the_beginning_in_clear() -> None:
    changed = user_text(transform(record(), "encoding", strength=0.5, seed=1))
    assert DEMAND[:40] in changed
    assert DEMAND[-30:] not in changed


def test_a_buried_request_stands_whole_in_as_much_padding_as_asked() -> None:
    for size in (200, 5_000, 50_000):
        messages = pad(record().request.messages, size, Chance("7"), "en")
        text = messages[-1].content
        assert DEMAND in text
        assert size <= len(text) - len(DEMAND) <= size + 4 + size // 50
    buried = user_text(transform(record(), "burying", strength=1, seed=1))
    assert len(buried) > MOST_PADDING
    assert DEMAND in buried


def test_a_split_request_comes_in_order_over_acknowledged_turns() -> None:
    changed = transform(record(), "splitting", strength=1, seed=1)
    roles = [message.role for message in changed.request.messages]
    assert roles[0] is Role.SYSTEM
    assert roles[-1] is Role.USER
    assert all(a is not b for a, b in pairwise(roles[1:]))
    places = [user_text(changed).find(line) for line in DEMAND.splitlines()]
    assert min(places) >= 0
    assert places == sorted(places)


def test_more_strength_speaks_to_the_classifier_more_often() -> None:
    weak, strong = (user_text(transform(record(), "addressing", strength=s, seed=1)) for s in (0.1, 1))
    assert DEMAND in weak
    assert DEMAND in strong
    assert len(strong) > len(weak) > len(DEMAND)


@pytest.mark.parametrize(("name", "strength", "message"), [("magic", 1, "unknown; use one of"), ("typos", 2, "0 to 1")])
def test_an_unknown_transform_or_strength_is_refused(name: str, strength: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        transform(record(), name, strength=strength, seed=1)

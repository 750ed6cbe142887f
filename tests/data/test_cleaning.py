"""Promises of the cleaning: one normal form, and personal data replaced in its own form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.data.cleaning import clean, mask_personal_data, normalise
from stillwatch.data.generator import generate
from stillwatch.data.labels import Label, Role
from stillwatch.data.records import LabelledRequest, Message, Request


@given(st.text())
def test_the_normal_form_is_one_and_loses_no_visible_character(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert "\r" not in once
    assert "\n\n\n" not in once


def test_white_space_and_composition_are_made_even() -> None:
    assert normalise("  a \r\nb\t\r\n\n\n\nCafe\u0301\x00  ") == "a\nb\n\nCaf\u00e9"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("write to jane.doe+x@mail.acme.co.uk today", r"write to user\d+@example\.org today"),
        ("ring +49 30 901820 please", r"ring \+49[\d ]{10} please"),
        ("host 8.8.4.4 is down", r"host 192\.0\.2\.\d+ is down"),
        ("pay to GB82 WEST 1234 5698 7654 32.", r"pay to GB\d{2} [A-Z]{4} \d{4} \d{4} \d{4} \d{2}\."),
        ("card 4111 1111 1111 1111!", r"card \d{4} \d{4} \d{4} \d{4}!"),
        ("key sk-abcDEF123456ghiJKL end", r"key sk-a[\w-]{17} end"),
    ],
)
def test_personal_data_is_replaced_in_its_own_form(text: str, form: str) -> None:
    masked = mask_personal_data(text)
    assert re.fullmatch(form, masked)
    assert masked != text
    assert masked == mask_personal_data(text)


@pytest.mark.parametrize(
    "text",
    [
        "The result is 3.1415926535 and version 1.2.3 of 10.0.0.7 or 1.2.300.4.",
        "Order 4111 1111 1111 1112 has a wrong sum; ISO GB82 WEST 0000 0000 0000 00 too.",
        "x = a+b; y = 12+13; 1234567890123",
        "name @ example . org",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert mask_personal_data(text) == text


def test_two_people_stay_two_people() -> None:
    masked = mask_personal_data("a@b.org wrote to c@d.org, and a@b.org again")
    first, second, third = re.findall(r"user\d+", masked)
    assert first == third != second


def test_a_record_is_cleaned_in_all_its_messages_and_keeps_the_rest() -> None:
    messages = (Message(Role.SYSTEM, "be kind  "), Message(Role.USER, "I am a@b.org\r\n"))
    record = LabelledRequest(Request(messages, id="r/1"), label=Label.BENIGN, family="f", source="s")
    cleaned = clean(record)
    assert cleaned.request.messages[0].content == "be kind"
    assert re.fullmatch(r"I am user\d+@example\.org", cleaned.request.messages[1].content)
    assert (cleaned.id, cleaned.family, cleaned.label) == (record.id, record.family, record.label)


def test_the_generator_writes_in_normal_form() -> None:
    for record in generate(num_requests=300, seed=4):
        for message in record.request.messages:
            assert re.sub(r"\n{3,}", "\n\n", message.content) == normalise(message.content)

"""Fingerprints stay when the slot changes and differ when the form does; they never hold text."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations

import pytest

from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request, Tool
from stillwatch.model.streams.fingerprint import Fingerprints, fingerprint_request

TOPICS = ("volcanoes in Iceland", "the price of bread", "chess openings for beginners", "how tides turn")
FORMS: dict[str, Callable[[str, int], str]] = {
    "slot behind": lambda topic, n: f"Write a detailed answer with every step of your thinking to this: {topic}",
    "slot before": lambda topic, n: f"{topic}\n\nGive the solution first, then explain which rule each step relied on.",
    "slot within": lambda topic, n: f"Produce {n} hard exam questions about '{topic}' together with model solutions.",
    "keys": lambda topic, n: f'{{"task_number": {n}, "subject_line": "{topic}", "want": ["trace", "reply"]}}',
    "labels": lambda topic, n: f"Question: {topic}?\nCandidate: maybe {n}\nVerdict:",
    "signs": lambda topic, n: f"请围绕“{topic}”编写{n}道编程题目。每道题都要附上完整的解题思路。",
    "german": lambda topic, n: (
        f"Schreibe {n} schwierige Aufgaben zum Thema „{topic}“ und löse jede Schritt für Schritt."
    ),
    "code": lambda topic, n: f"Rewrite this routine in three other languages, please:\n```\nx{n} = '{topic}'\n```",
}


def ask(text: str, system: str = "") -> Request:
    systems = (Message(Role.SYSTEM, system),) if system else ()
    return Request((*systems, Message(Role.USER, text)))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_two_requests_of_one_form_share_a_fingerprint(form: Callable[[str, int], str]) -> None:
    found = [set(fingerprint_request(ask(form(topic, 7 + n))).own) for n, topic in enumerate(TOPICS)]
    assert all(a & b for a, b in combinations(found, 2))


def test_requests_of_different_forms_share_none_though_their_slots_are_the_same() -> None:
    found = [set(fingerprint_request(ask(form(TOPICS[0], 7))).shared) for form in FORMS.values()]
    assert all(found)
    assert not any(a & b for a, b in combinations(found, 2))


def test_a_system_text_is_known_again_with_other_names_and_numbers() -> None:
    def write(name: str, n: int) -> str:
        return (
            f"You assist the clerks of {name}, {n} at present. Every answer opens with the office that decides. "
            "Quote the paragraph on which an answer rests, or say plainly that there is none."
        )

    first, second = (
        fingerprint_request(ask("hello", write(*each))).system for each in (("Alderbrook", 4), ("Rivermouth", 31))
    )
    other = fingerprint_request(ask("hello", "Answer as a pirate would, and never in more than two sentences.")).system
    assert set(first) & set(second)
    assert not set(first) & set(other)


def test_a_word_changed_here_and_there_leaves_some_fingerprint() -> None:
    text = (
        "Below is a question from our users. Think aloud before you answer, in at least ten numbered steps. "
        "Do not skip a step that seems obvious. Close with the final result on a line of its own."
    )
    changed = text.replace("Think aloud", "Reason aloud").replace("obvious", "trivial")
    assert set(fingerprint_request(ask(text)).own) & set(fingerprint_request(ask(changed)).own)


def test_equal_skeletons_of_two_kinds_differ() -> None:
    words = "Explain every step of the reasoning before the answer is given."
    found = fingerprint_request(ask(words, words))
    assert not set(found.system) & set(found.instruction)


def test_a_request_has_at_most_eight_to_share_and_each_is_below_two_to_the_64() -> None:
    tools = (Tool("a"), Tool("b"))
    turns = (Message(Role.USER, "Question: one\nAnswer: two"), Message(Role.ASSISTANT, "x"))
    words = [
        "apple",
        "bridge",
        "candle",
        "desert",
        "engine",
        "forest",
        "garden",
        "harbour",
        "island",
        "jungle",
        "kettle",
        "ladder",
    ]
    long_text = "\n".join(
        f"{word}: every point about the {word} has to be answered in whole sentences" for word in words
    )
    request = Request((Message(Role.SYSTEM, long_text), *turns, Message(Role.USER, long_text)), tools=tools)
    found = fingerprint_request(request)
    assert len(found.shared) == len(set(found.shared)) == 8
    assert len(found.tools) == 1
    assert all(0 <= number < 2**64 for number in found.shared + found.tools)


def test_tools_are_the_same_in_any_order() -> None:
    message = (Message(Role.USER, "go"),)
    one, two = (Request(message, tools=tuple(map(Tool, names))) for names in ("ab", "ba"))
    assert fingerprint_request(one).tools == fingerprint_request(two).tools != ()


@pytest.mark.parametrize(
    "text", ["", "   ", "hi", "12345", "```\ncode\n```", "{" * 3000, "[1, 2", "\ud800", "a" * 300_000]
)
def test_any_text_is_read(text: str) -> None:
    assert isinstance(fingerprint_request(ask(text, text)), Fingerprints)


@pytest.mark.parametrize(
    "text", ["\u4e2d\u6587" * 6000, "aaa+" * 3000, "\u3316" * 12_000], ids=["signs", "joined", "squared"]
)
def test_a_text_without_blanks_costs_no_more_than_its_length(text: str) -> None:
    begin = time.process_time()
    fingerprint_request(ask(text))
    assert time.process_time() - begin < 8  # a minute where each sign is the start of the whole rest


def test_a_number_is_the_same_in_every_process() -> None:
    program = (
        "from stillwatch.model.streams.fingerprint import fingerprint_request as f;"
        "from stillwatch.data.records import Message, Request; from stillwatch.data.labels import Role;"
        f"print(f(Request((Message(Role.USER, {FORMS['slot behind'](TOPICS[0], 1)!r}),))).shared)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(fingerprint_request(ask(FORMS["slot behind"](TOPICS[0], 1))).shared)

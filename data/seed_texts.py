"""Makes documents and exchanges from the authored grammars under `data/material/`."""

from __future__ import annotations

from random import Random

from stillwatch.data.material import choose_language, load_material
from stillwatch.data.seed_problems import make_problem
from stillwatch.data.values import draw_values

_FROM_PROBLEM = 0.3  # share of the exchanges that are about a computed exercise
_LINES = ("transcript", "log")  # kinds that are written line by line
_SPACELESS = ("zh", "ja")


def make_document(rng: Random, lang: str) -> dict[str, object]:
    """One email, report, policy, article, contract, transcript, log or notice with a question about it.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no documents.
    """
    material = load_material("documents")
    lang = choose_language(material, lang)
    entry = rng.choice(material[lang])
    facts = draw_values(entry["facts"], rng, lang)
    glue = "\n" if entry["kind"] in _LINES else ("" if lang in _SPACELESS else " ")
    sentences = [_choose(sentence, rng) for sentence in entry["text"].strip().split("\n")]
    paragraphs: list[list[str]] = [[]]
    for sentence in sentences:
        if sentence:
            paragraphs[-1].append(sentence)
        else:
            paragraphs.append([])
    body = "\n\n".join(glue.join(paragraph) for paragraph in paragraphs)
    return {
        "kind": entry["kind"],
        "title": entry["title"].format(**facts),
        "body": body.format(**facts),
        "question": _choose(entry["question"], rng).format(**facts),
        "answer": entry["answer"].format(**facts),
        "summary": entry["summary"].format(**facts),
    }


def make_exchange(rng: Random, lang: str) -> dict[str, object]:
    """One question with a good, a bad and a third answer and the criterion that tells them apart.

    Args:
        rng: the only chance used.
        lang: ISO 639-1 code; English where there are no exchanges.
    """
    material = load_material("exchanges")
    lang = choose_language(material, lang)
    if rng.random() < _FROM_PROBLEM:
        problem = make_problem(rng, lang)
        return {
            "question": problem["question"],
            "good_answer": problem["solution"],
            "bad_answer": problem["wrong_solution"],
            "third_answer": problem["answer"],
            "criteria": rng.choice(material[lang]["problem_criteria"]),
            "subject": problem["subject"],
        }
    entry = rng.choice(material[lang]["items"])
    return {
        "question": rng.choice(entry["q"]),
        "good_answer": entry["good"].strip(),
        "bad_answer": entry["bad"].strip(),
        "third_answer": entry["third"].strip(),
        "criteria": entry["criteria"],
        "subject": entry["subject"],
    }


def _choose(wordings: str, rng: Random) -> str:
    return rng.choice(wordings.split(" || "))

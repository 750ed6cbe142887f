from __future__ import annotations

import csv
import io
import json
import math
import re
from random import Random

import pytest

from stillwatch.data.errors import ConfigError
from stillwatch.data.material import load_material
from stillwatch.data.seed_problems import CALCULATORS, draw_numbers
from stillwatch.data.seed_texts import make_document
from stillwatch.data.seeds import SEED_FIELDS, make_seed
from stillwatch.data.values import draw_values

LANGUAGES = ("en", "zh", "ru", "ko", "ja", "fr", "de", "es", "pt")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", SEED_FIELDS)
def test_every_seed_has_its_fields_filled_and_no_slot_left_open(kind: str, lang: str) -> None:
    for number in range(60):
        seed = make_seed(kind, Random(f"{kind}/{number}"), lang)
        assert set(seed) == SEED_FIELDS[kind]
        for field, value in seed.items():
            assert value not in ("", None) or (kind, field) == ("screen", "history"), field


@pytest.mark.parametrize("kind", SEED_FIELDS)
def test_equal_chance_gives_equal_seeds(kind: str) -> None:
    assert make_seed(kind, Random(3)) == make_seed(kind, Random(3))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="use one of problem"):
        make_seed("poem", Random(1))


def test_every_problem_type_has_texts_and_every_text_a_calculator() -> None:
    problems = load_material("problems")
    assert {entry["type"] for entry in problems["en"]} == set(CALCULATORS)
    assert all(entry["type"] in CALCULATORS for lang in problems for entry in problems[lang])
    assert len(CALCULATORS) >= 25
    assert all(len(entry["texts"]["question"]) >= 2 for entry in problems["en"])


@pytest.mark.parametrize("kind", CALCULATORS)
def test_the_wrong_answer_is_never_the_right_one(kind: str) -> None:
    for number in range(50):
        values = draw_numbers(kind, Random(number))
        assert values["answer"] != values["wrong"]


def numbers(kind: str, count: int = 40) -> list[dict[str, float]]:
    return [{k: float(v) for k, v in draw_numbers(kind, Random(n)).items()} for n in range(count)]


def test_the_meeting_travellers_cover_the_whole_road() -> None:
    assert all(v["a"] * v["answer"] + v["b"] * v["answer"] == v["d"] for v in numbers("meeting"))


def test_two_pipes_fill_exactly_one_tank() -> None:
    assert all(math.isclose(v["answer"] / v["a"] + v["answer"] / v["b"], 1) for v in numbers("two_pipes"))


def test_the_mixture_keeps_its_solute() -> None:
    for v in numbers("mixture"):
        assert math.isclose(v["answer"] * (v["x"] + v["y"]), v["a"] * v["x"] + v["b"] * v["y"])


def test_the_lens_equation_holds() -> None:
    assert all(math.isclose(1 / v["f"], 1 / v["d"] + 1 / v["answer"]) for v in numbers("lens"))


def test_counting_the_pairs_gives_the_handshakes() -> None:
    for v in numbers("handshakes"):
        people = range(int(v["n"]))
        assert v["answer"] == sum(1 for a in people for b in people if a < b)


def test_remainders_agree_with_repeated_multiplication() -> None:
    for v in numbers("remainder"):
        rest = 1
        for _ in range(int(v["n"])):
            rest = rest * int(v["a"]) % int(v["m"])
        assert v["answer"] == rest


def test_the_coins_add_up() -> None:
    assert all(5 * v["answer"] + 2 * (v["n"] - v["answer"]) == v["total"] for v in numbers("coins"))


def test_compound_interest_agrees_with_year_by_year() -> None:
    for v in numbers("compound"):
        balance = v["c"]
        for _ in range(int(v["n"])):
            balance += balance * v["p"] / 100
        assert math.isclose(balance, v["answer"])


def test_bayes_agrees_with_counting_a_herd() -> None:
    for v in numbers("bayes"):
        sick = 10_000 * v["p"] / 100
        hits, alarms = sick * v["sens"] / 100, (10_000 - sick) * v["false"] / 100
        assert math.isclose(v["answer"], 100 * hits / (hits + alarms))


def test_exactly_one_statement_is_true_of_the_thief() -> None:
    for number in range(20):
        v = draw_numbers("liars", Random(number))
        thief = v["answer"]
        assert [thief == v["b"], thief != v["b"], thief != v["c"]].count(True) == 1


def test_the_python_snippets_compile_and_every_fix_changes_something() -> None:
    entries = [entry for entries in load_material("code").values() for entry in entries]
    assert len(entries) >= 55
    assert len({entry["language"] for entry in entries}) >= 6
    seen = set()
    for number in range(400):
        seed = make_seed("code", Random(number))
        assert seed["snippet"] != seed["fixed"]
        seen.add(seed["snippet"])
        if seed["language"] == "Python":
            compile(str(seed["snippet"]), "snippet", "exec")
            compile(str(seed["fixed"]), "fixed", "exec")
    assert len(seen) > 300


def test_every_part_of_every_fix_is_found_in_its_snippet() -> None:
    for entry in (entry for entries in load_material("code").values() for entry in entries):
        text = entry["snippet"]
        for old, new in entry["fix"]:
            assert old in text, entry["file"]
            text = text.replace(old, new)


def test_a_call_names_an_offered_tool_and_gives_what_it_requires() -> None:
    assert len(load_material("apis")) >= 42
    for number in range(200):
        seed = make_seed("api", Random(number))
        tools = {tool["name"]: tool for tool in json.loads(str(seed["tools_json"]))}
        call = json.loads(str(seed["call_json"]))
        parameters = tools[call["name"]]["parameters"]
        assert 3 <= len(tools) <= 6
        assert set(parameters["required"]) <= set(call["arguments"]) <= set(parameters["properties"])
        json.loads(str(seed["result_json"]))


def test_totals_of_tables_agree_with_their_rows() -> None:
    checked = 0
    for number in range(200):
        seed = make_seed("table", Random(number))
        found = re.fullmatch(r"What is the total (\w+) where (\w+) is (.+)\?", str(seed["question"]))
        if found:
            rows = list(csv.DictReader(io.StringIO(str(seed["csv"]))))
            assert len(rows) == seed["rows"]
            total = sum(float(row[found[1]]) for row in rows if row[found[2]] == found[3])
            assert math.isclose(total, float(str(seed["answer"])), abs_tol=0.006)
            checked += 1
    assert checked > 10


def test_documents_have_the_length_of_documents() -> None:
    assert len(load_material("documents")["en"]) >= 30
    for number in range(200):
        assert 80 <= len(str(make_document(Random(number), "en")["body"]).split()) <= 900


def test_a_quarter_of_the_documents_are_files_of_several() -> None:
    lengths = [len(str(make_seed("document", Random(number))["body"]).split()) for number in range(400)]
    alone = [len(str(make_document(Random(number), "en")["body"]).split()) for number in range(400)]
    assert 0.15 < sum(long > short for long, short in zip(lengths, alone, strict=True)) / 400 < 0.35
    assert max(lengths) > 1_000


def test_the_next_action_points_at_an_element_of_the_screen() -> None:
    for number in range(200):
        seed = make_seed("screen", Random(number))
        target = re.search(r"\[(\d+)\]", str(seed["next_action"]))
        assert target is not None
        assert re.search(rf"\b{target[1]}\b", str(seed["description"]))


def test_there_are_at_least_sixty_exchanges_with_three_different_answers() -> None:
    items = load_material("exchanges")["en"]["items"]
    assert len(items) >= 60
    assert all(len({item["good"], item["bad"], item["third"]}) == 3 for item in items)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_its_own_material(lang: str) -> None:
    assert len(load_material("documents")[lang]) >= 12
    assert len(load_material("exchanges")[lang]["items"]) >= 18
    assert len(load_material("tables")[lang]["items"]) >= 4
    assert set(load_material("tables")[lang]["questions"]) == {"total", "highest", "above", "mean", "share"}
    assert len(load_material("screens")[lang]) >= 3
    assert lang == "en" or len(load_material("queries")[lang]) >= 6


def test_some_english_documents_are_long() -> None:
    sizes = [len(str(make_document(Random(number), "en")["body"]).split()) for number in range(300)]
    assert 900 >= max(sizes) >= 450
    assert min(sizes) >= 80


def test_native_queries_name_tools_and_arguments_of_their_service() -> None:
    services = {entry["prefix"]: entry["tools"] for entry in load_material("apis")}
    for prefix, tool, query in (
        (prefix, tool, query)
        for asks in load_material("queries").values()
        for prefix, tools in asks.items()
        for tool, queries in tools.items()
        for query in queries
    ):
        arguments = {name.rstrip("?") for name in services[prefix][tool]["args"]}
        assert set(re.findall(r"{(\w+)}", query)) <= arguments, (prefix, query)


def test_no_path_doubles_a_folder_and_no_library_is_renamed() -> None:
    for number in range(300):
        seed = make_seed("code", Random(number))
        parts = str(seed["file"]).split("/")
        assert len(set(parts)) == len(parts)
        if "import csv" in str(seed["snippet"]):
            assert set(re.findall(r"\bcsv\.(\w+)", str(seed["snippet"]))) <= {"reader", "writer", "DictReader"}


def test_a_service_bears_no_company_of_another_trade() -> None:
    companies = load_material("words")["companies"]["en"]
    for number in range(200):
        service = str(make_seed("api", Random(number))["service"])
        assert not any(service.startswith(f"{company} ") for company in companies)


def test_people_of_one_text_bear_different_names() -> None:
    for number in range(100):
        drawn = draw_values({"a": "name", "b": "name", "c": "name"}, Random(number), "ko")
        assert len(set(drawn.values())) == 3

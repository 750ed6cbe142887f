from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from stillwatch.data.bonds import find_pairs
from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.families import Family, load_families
from stillwatch.data.generator import generate, render_family
from stillwatch.data.labels import Label, Role, Technique
from stillwatch.data.records import LabelledRequest

STARTER = """
- {family: t.ask, label: benign, lang: en, register: casual, persona: pupil, seed: problem,
   turns: [{user: ["{{ problem.question }} {{ pick(['please', 'thanks']) }} {{ number(1, 9999) }}"]}]}
- {family: t.harvest, label: extraction, technique: reasoning_elicitation, visibility: request, lang: en,
   register: machine, persona: harvester, seed: problem,
   turns: [{user: ["{{ problem.question }} <{{ tag() }}> {{ number(1, 9999) }}"]}]}
- {family: t.tools, label: benign, lang: en, register: terse, persona: app, seed: api, tools: api,
   system: ["", "Desk of {{ company() }}"], turns: [{user: ["{{ api.query }} {{ name() }} {{ number(1, 9999) }}"]}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "starter.yaml").write_text(STARTER, encoding="utf-8")
    return tmp_path


def test_the_same_seed_gives_the_same_requests_and_another_seed_others(folder: Path) -> None:
    first, again, other = (list(generate(num_requests=60, seed=s, families=folder)) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.slow
def test_the_hash_seed_of_the_process_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    for hash_seed in ("1", "77"):
        monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        with get_context("spawn").Pool(1) as pool:
            families = pool.apply(load_families)
            outputs.append(pool.map(partial(render_family, index=3, seed=5), families))
    assert outputs[0] == outputs[1] == [render_family(f, index=3, seed=5) for f in load_families()]


def test_a_shorter_run_is_the_beginning_of_a_longer_one(folder: Path) -> None:
    long = list(generate(num_requests=40, seed=1, families=folder))
    assert list(generate(num_requests=15, seed=1, families=folder)) == long[:15]


def test_any_even_prefix_holds_both_labels_equally_often_and_families_in_turn(folder: Path) -> None:
    records = list(generate(num_requests=40, seed=3, families=folder))
    for end in range(4, 41, 4):
        families = Counter(record.family for record in records[:end])
        assert families == {"t.harvest": end // 2, "t.ask": end // 4, "t.tools": end // 4}


def test_requests_of_one_index_speak_of_the_same_problem(folder: Path) -> None:
    ask, harvest = (f for f in load_families(folder) if f.seed == "problem")
    for index in range(20):
        asked, harvested = (render_family(f, index=index, seed=4).request.messages[-1].content for f in (ask, harvest))
        assert re.sub(r" (please|thanks) \d+$", "", asked) == re.sub(r" <\w+> \d+$", "", harvested)


def test_adding_a_family_leaves_the_requests_of_the_others_as_they_were(folder: Path) -> None:
    before = {r.id: r for r in generate(num_requests=30, seed=1, families=folder) if r.family == "t.ask"}
    extra = STARTER.split("- {family: t.harvest")[0].replace("t.ask", "t.asked-more")
    (folder / "more.yaml").write_text(extra, encoding="utf-8")
    after = {r.id: r for r in generate(num_requests=60, seed=1, families=folder) if r.family == "t.ask"}
    assert all(after[key] == before[key] for key in before.keys() & after.keys())
    assert before.keys() & after.keys()


def test_no_request_comes_twice(folder: Path) -> None:
    texts = [r.request.messages for r in generate(num_requests=200, seed=1, families=folder)]
    assert len(set(texts)) == len(texts)


def test_a_family_that_runs_out_of_wordings_is_told(tmp_path: Path) -> None:
    text = STARTER.split("- {family: t.harvest")[0].replace("{{ problem.question }}", "hello")
    (tmp_path / "few.yaml").write_text(text.replace("number(1, 9999)", "number(1, 2)"), encoding="utf-8")
    with pytest.raises(SourceError, match="add families and wordings"):
        list(generate(num_requests=20, seed=1, families=tmp_path))


def test_a_template_that_fails_while_rendering_names_its_family(tmp_path: Path) -> None:
    text = STARTER.split("- {family: t.harvest")[0].replace("problem.question", "problem['nothing']")
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"family t\.ask"):
        list(generate(num_requests=2, seed=1, families=tmp_path))


def test_only_families_that_ask_for_it_offer_tools_and_their_schemas_are_json(folder: Path) -> None:
    for record in generate(num_requests=60, seed=1, families=folder):
        assert bool(record.request.tools) == (record.family == "t.tools")
        for tool in record.request.tools:
            assert json.loads(tool.parameters)["type"] == "object"


@pytest.mark.parametrize("family", load_families(), ids=lambda family: family.name)
def test_every_shipped_family_renders_whole_requests(family: Family) -> None:
    for index in range(3):
        record = render_family(family, index=index, seed=1)
        messages = record.request.messages
        assert messages[-1].role in (Role.USER, Role.TOOL)
        assert all(m.content == m.content.strip() and m.content for m in messages)
        assert not any("{{" in m.content and "{%" in m.content for m in messages)
        assert dump_labelled(record)["license"] == "Apache-2.0"
        assert (record.technique is None) == (record.label.value == "benign")


LANGUAGES = {"en", "zh", "ru", "ko", "ja", "fr", "de", "es", "pt"}


def test_the_shipped_families_are_many_and_of_all_kinds() -> None:
    families = load_families()
    labels = Counter(family.label for family in families)
    assert min(labels[Label.BENIGN], labels[Label.EXTRACTION]) >= 300
    assert labels[Label.AMBIGUOUS] >= 1
    assert {family.technique for family in families if family.label is Label.EXTRACTION} == set(Technique)
    for label in (Label.BENIGN, Label.EXTRACTION):
        own = [family for family in families if family.label is label]
        assert {family.lang for family in own} >= LANGUAGES
        assert any(family.offers_tools for family in own)
        assert any(turn.role is Role.TOOL for family in own for turn in family.turns)
        assert any(len(family.turns) >= 3 for family in own)
        assert 0.3 < sum(bool(family.system) for family in own) / len(own) < 0.9


@pytest.fixture(scope="module")
def shipped() -> list[LabelledRequest]:
    return list(generate(num_requests=3000, seed=7))


def test_shipped_families_draw_from_ten_words_to_very_long_requests(shipped: list[LabelledRequest]) -> None:
    for label in (Label.BENIGN, Label.EXTRACTION):
        lengths = sorted(
            sum(len(m.content.split()) for m in record.request.messages) for record in shipped if record.label is label
        )
        assert lengths[0] <= 10
        assert lengths[-1] > 700


def test_no_two_requests_of_a_family_are_near_duplicates(shipped: list[LabelledRequest]) -> None:
    pairs = find_pairs(shipped)
    assert [shipped[a].id for a, b in pairs if shipped[a].family == shipped[b].family] == []


def test_every_twentieth_request_is_ambiguous(shipped: list[LabelledRequest]) -> None:
    labels = [record.label for record in shipped]
    assert [place for place, label in enumerate(labels, start=1) if label is Label.AMBIGUOUS] == list(
        range(20, 3001, 20)
    )


def test_fewer_families_are_some_of_the_families_of_more() -> None:
    few, more = (
        {record.family for record in generate(num_requests=120, seed=3, max_families=count)} for count in (5, 20)
    )
    assert len(few) == 13
    assert few < more

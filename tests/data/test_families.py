from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.data.errors import ConfigError, SourceError
from stillwatch.data.families import load_families
from stillwatch.data.labels import Label, Role, Technique

GOOD = """
- family: t.good
  label: extraction
  technique: coding_analysis
  visibility: request
  lang: en
  register: terse
  persona: harvester
  seed: code
  attributes: [asks_code]
  system: ["", "Be brief."]
  turns:
    - user: ["{{ code.snippet }}"]
    - assistant: ["ok"]
    - user: ["{% for t in topics(3) %}{{ loop.index }} {{ t }} {% endfor %}"]
"""


def write(folder: Path, text: str, name: str = "a.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_whole_family_is_read_field_by_field(tmp_path: Path) -> None:
    (family,) = load_families(write(tmp_path, GOOD))
    assert (family.name, family.label, family.technique) == (
        "t.good",
        Label.EXTRACTION,
        Technique.CODING_ANALYSIS,
    )
    assert [turn.role for turn in family.turns] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert family.system == ("", "Be brief.")
    assert not family.offers_tools


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("persona: harvester", "persona: harvester\n  mood: bad", "field mood: unknown"),
        ("  persona: harvester\n", "", "field persona: missing"),
        ("technique: coding_analysis", "technique: spying", "field technique: .*one of coding_analysis"),
        ("  technique: coding_analysis\n", "", "field technique: null; every extraction family names it"),
        ("  visibility: request\n", "", "field visibility: null; every extraction family names it"),
        ("label: extraction", "label: benign", "field technique: .*a benign family has none"),
        ("label: extraction", "label: ambiguous", "field visibility: .*an ambiguous family has none"),
        ("asks_code", "asks_everything", "field attributes: .*asks_everything is unknown"),
        ("seed: code", "seed: poem", "field seed: .*one of api, code"),
        ("register: terse", "register: rude", "field register: .*one of casual"),
        ("{{ code.snippet }}", "{{ code.snipet }}", r"field turns\.0\.user\.0: slot code\.snipet is undefined"),
        ("{{ code.snippet }}", "{{ problem.answer }}", "slot problem is undefined"),
        ("{{ code.snippet }}", "{{ code.snippet", "does not compile at line 1"),
        ("{{ code.snippet }}", "", "turn 0 needs texts, none of them empty"),
        ("- assistant: ", "- narrator: ", "turn 1 is one of user, assistant, tool"),
        ('"Be brief."', "3", "field system: .*give a list of texts"),
        ("seed: code", "seed: code\n  tools: api", "field tools: .*only a family with `seed: api`"),
    ],
)
def test_a_bad_family_is_refused_with_file_family_field_and_remedy(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=r"a\.yaml: family t\.good: .*" + message):
        load_families(write(tmp_path, GOOD.replace(old, new)))


def test_a_conversation_may_not_end_with_the_assistant(tmp_path: Path) -> None:
    text = GOOD[: GOOD.rindex("    - user")]
    with pytest.raises(ConfigError, match="end with a user or tool turn"):
        load_families(write(tmp_path, text))


def test_a_name_used_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.yaml")
    with pytest.raises(ConfigError, match=r"b\.yaml: family t\.good: field family: used twice"):
        load_families(write(tmp_path, GOOD, "b.yaml"))


def test_a_file_that_is_not_yaml_tells_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml: not YAML at line"):
        load_families(write(tmp_path, "- family: [\n- x: y: z"))


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a family file is a list"):
        load_families(write(tmp_path, "family: t.good"))


def test_a_folder_without_family_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="give a folder of family files"):
        load_families(tmp_path)


def test_templates_have_no_chance_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not compile"):
        load_families(write(tmp_path, GOOD.replace("code.snippet", "[1, 2] | random")))

"""Promises of the adapters: datasets in their own columns become records, and what is wrong is told by name.

All rows here are made up; only their columns are those of the public datasets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from stillwatch.data.adapters import Adapter, adapt_rows, load_adapted, load_adapter
from stillwatch.data.errors import ConfigError, InputError, SourceError
from stillwatch.data.labels import Label, Role
from stillwatch.data.records import LabelledRequest
from stillwatch.data.sources import load_source

FOLDER = Path(__file__).parents[2] / "configs" / "sources"
PIN = "0123456789abcdef0123456789abcdef01234567"

ROWS: Mapping[str, list[dict[str, object]]] = {
    "alpaca": [
        {"instruction": "Sort these towns by height.", "input": "Arosa, Bergen", "output": "x", "text": "x"},
        {"instruction": "Name a river.", "input": "", "output": "x", "text": "x"},
        {"instruction": "", "input": "", "output": "x", "text": "x"},
    ],
    "codealpaca": [{"instruction": "Write a loop in Ada.", "input": "", "output": "x"}],
    "openorca": [{"id": "q.1", "system_prompt": "Think aloud.", "question": "Why is ice slippery?", "response": "x"}],
    "openthoughts": [
        {
            "system": "Reason first.",
            "conversations": [{"from": "user", "value": "Prove it."}, {"from": "assistant", "value": "x"}],
        }
    ],
    "xlam": [
        {
            "id": 3,
            "query": "Tides at Brest?",
            "answers": "[]",
            "tools": json.dumps([{"name": "tides", "description": "Tides.", "parameters": {"port": {"type": "str"}}}]),
        }
    ],
    "ultrafeedback": [{"source": "made_up", "instruction": "Describe a pump.", "models": [], "completions": []}],
    "wildchat": [
        {
            "hashed_ip": "f00",
            "language": "German",
            "conversation": [
                {"role": "user", "content": "Hallo, schreib an anna@example.com", "language": "German"},
                {"role": "assistant", "content": "Gern.", "language": "German"},
            ],
        }
    ],
    "lmsys": [{"language": "English", "conversation": [{"role": "user", "content": "Hi."}]}],
    "oasst": [
        {
            "message_id": "a",
            "parent_id": None,
            "text": "Salut",
            "role": "prompter",
            "lang": "fr",
            "message_tree_id": "a",
        },
        {
            "message_id": "b",
            "parent_id": "a",
            "text": "Oui?",
            "role": "assistant",
            "lang": "fr",
            "message_tree_id": "a",
        },
        {
            "message_id": "c",
            "parent_id": "b",
            "text": "Merci",
            "role": "prompter",
            "lang": "fr",
            "message_tree_id": "a",
        },
    ],
    "dolly": [{"instruction": "Who won?", "context": "Ada won.", "response": "x", "category": "closed_qa"}],
    "sgd": [
        {
            "dialogue_id": "1_7",
            "services": ["Rides_1"],
            "turns": {"speaker": [0, 1, 0], "utterance": ["A ride please.", "Where to?", "The pier."]},
        }
    ],
    "local": [{"ticket": 7, "question": "Where is my parcel?"}],
}


def adapter_of(name: str, tmp_path: Path, **changes: str) -> Adapter:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    if "hub:" in text and "\nrevision:" not in text:
        text = text.replace("\nlicense:", f"\nrevision: {PIN}\nlicense:", 1)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, "utf-8")
    return load_adapter(path)


def adapt(name: str, tmp_path: Path) -> list[LabelledRequest]:
    return list(adapt_rows(adapter_of(name, tmp_path), ROWS[name]))


def turns(record: LabelledRequest) -> list[tuple[str, str]]:
    return [(message.role.value, message.content) for message in record.request.messages]


def test_every_shipped_adapter_reads_rows_in_the_columns_of_its_dataset(tmp_path: Path) -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(ROWS)
    for name in ROWS:
        records = adapt(name, tmp_path)
        assert records, name
        assert all(record.request.messages[-1].role is Role.USER for record in records)
        assert len({record.id for record in records}) == len(records)


def test_columns_become_turns_and_empty_ones_leave_nothing_behind(tmp_path: Path) -> None:
    first, second = adapt("alpaca", tmp_path)
    assert turns(first) == [("user", "Sort these towns by height.\n\nArosa, Bergen")]
    assert turns(second) == [("user", "Name a river.")]
    assert (first.label, first.license, first.source) == (Label.EXTRACTION, "CC-BY-NC-4.0", "alpaca")
    (orca,) = adapt("openorca", tmp_path)
    assert turns(orca) == [("system", "Think aloud."), ("user", "Why is ice slippery?")]


def test_conversations_end_where_the_model_was_asked(tmp_path: Path) -> None:
    (chat,) = adapt("wildchat", tmp_path)
    assert [role for role, _ in turns(chat)] == ["user"]
    assert (chat.lang, chat.session) == ("de", "f00")
    (thoughts,) = adapt("openthoughts", tmp_path)
    assert turns(thoughts) == [("system", "Reason first."), ("user", "Prove it.")]
    (ride,) = adapt("sgd", tmp_path)
    assert turns(ride) == [("user", "A ride please."), ("assistant", "Where to?"), ("user", "The pier.")]


def test_personal_data_of_foreign_rows_is_masked_unless_switched_off(tmp_path: Path) -> None:
    (chat,) = adapt("wildchat", tmp_path)
    assert "anna@" not in turns(chat)[0][1]
    plain = adapter_of("wildchat", tmp_path, **{"kind: chat": "kind: chat\nmask: false"})
    (kept,) = adapt_rows(plain, ROWS["wildchat"])
    assert "anna@example.com" in turns(kept)[0][1]


def test_a_tree_gives_one_request_for_every_turn_of_a_user(tmp_path: Path) -> None:
    first, second = adapt("oasst", tmp_path)
    assert turns(first) == [("user", "Salut")]
    assert turns(second) == [("user", "Salut"), ("assistant", "Oui?"), ("user", "Merci")]
    assert first.lang == "fr"


def test_tools_and_families_come_from_their_columns(tmp_path: Path) -> None:
    (query,) = adapt("xlam", tmp_path)
    assert [tool.name for tool in query.request.tools] == ["tides"]
    assert adapt("dolly", tmp_path)[0].family == "dolly_closed_qa"


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("alpaca", {"prompt": "hidden words"}, "alpaca:1: instruction: no such column"),
        ("alpaca", {"instruction": ["hidden words"], "input": ""}, "alpaca:1: instruction: a list of 1"),
        ("wildchat", {"language": "x", "conversation": "hidden words"}, "wildchat:1: conversation: a string"),
        ("xlam", {"query": "q", "tools": "hidden words"}, "xlam:1: tools: text that is no JSON"),
    ],
)
def test_a_row_in_other_columns_is_refused_by_dataset_row_and_column(
    tmp_path: Path, name: str, row: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(adapt_rows(adapter_of(name, tmp_path), [row]))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("alpaca", "revision: dce01c9b08f87459cf36a430d809084718273017\n", "", "revision is missing: pin the commit"),
        ("alpaca", "revision: dce01c9b08f87459cf36a430d809084718273017", "revision: main", "revision: "),
        ("alpaca", "visibility: stream\n", "", "visibility belongs to extraction"),
        ("dolly", "label: benign", "label: benign\ntechnique: coding_analysis", "technique belongs to extraction"),
        ("alpaca", "form: columns", "form: pillars", "turns"),
        ("alpaca", "family: alpaca", "family: alpaca\nfamilly: x", "familly: unknown key"),
        ("local", "path: own-support.jsonl\n", "", "name either hub or path"),
    ],
)
def test_a_bad_adapter_is_refused_with_file_and_key(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert old in text
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(ConfigError, match=rf"bad\.yaml: .*{message}"):
        load_adapter(path)


def test_a_missing_adapter_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        load_adapter(tmp_path / "none.yaml")


def test_a_hub_out_of_reach_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    adapter = adapter_of("alpaca", tmp_path).model_copy(update={"hub": "nobody/nothing-at-all"})
    with pytest.raises(SourceError, match=r"nobody/nothing-at-all at dce01c9b cannot be fetched .*by `path`"):
        load_adapted(adapter)


def test_a_local_file_stands_beside_its_adapter_and_serves_as_a_source(tmp_path: Path) -> None:
    (tmp_path / "own-support.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS["local"]), "utf-8")
    adapter_of("local", tmp_path)
    records = load_source("adapter", seed=1, path=tmp_path / "local.yaml")
    assert turns(records[0]) == [("system", "You are the support desk."), ("user", "Where is my parcel?")]
    assert records[0].session == "7"
    assert load_adapted(load_adapter(tmp_path / "local.yaml"), max_rows=0) == []

"""What a run reads and how it deals it: no record twice, no source under two roles, nothing across a fold's sides."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random
from string import ascii_lowercase
from typing import Literal

import pytest
from pydantic import ValidationError
from rich.console import Console

from stillwatch.data.dialects import dump_labelled
from stillwatch.data.errors import ConfigError
from stillwatch.data.folds import check_fold
from stillwatch.data.labels import Label, Role, Technique, Visibility
from stillwatch.data.records import LabelledRequest, Message, Request
from stillwatch.train.config import ModelConfig, SourceConfig, SplitConfig, TrainConfig
from stillwatch.train.planning import describe_records, load_records, plan_folds
from stillwatch.train.sampling import SourceShare


def record(number: int, source: str = "s", *, text: str | None = None, label: Label | None = None) -> LabelledRequest:
    """Three records a family; families are extraction and benign in turn."""
    family = number // 3
    chosen = label or (Label.EXTRACTION if family % 2 else Label.BENIGN)
    is_extraction = chosen is Label.EXTRACTION
    rng = Random(f"{source}/{number}")
    words = " ".join("".join(rng.choices(ascii_lowercase, k=7)) for _ in range(12))  # so that no two are alike
    return LabelledRequest(
        Request((Message(Role.USER, text or words),), id=f"{source}/{number}"),
        chosen,
        f"{source}-{family}",
        source,
        Technique.CODING_ANALYSIS if is_extraction else None,
        Visibility.REQUEST if is_extraction else None,
    )


def write(path: Path, records: list[LabelledRequest]) -> Path:
    path.write_text("".join(json.dumps(dump_labelled(each)) + "\n" for each in records), "utf-8")
    return path


def file(path: Path, role: Literal["rotate", "train"] = "rotate", max_per_source: int | None = None) -> SourceConfig:
    return SourceConfig(kind="files", path=path, role=role, max_per_source=max_per_source)


def config(*sources: SourceConfig, run_folds: tuple[int, ...] | None = None) -> TrainConfig:
    return TrainConfig(name="trial", seed=3, sources=sources, split=SplitConfig(num_folds=3, run_folds=run_folds))


ROWS = [record(number) for number in range(60)]
QUIET = Console(quiet=True)


def test_records_of_all_sources_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    others = [record(number, "t") for number in range(6)]
    sources = (file(write(tmp_path / "t.jsonl", others), "train"), file(write(tmp_path / "s.jsonl", ROWS)))
    loaded = load_records(config(*sources))
    assert loaded.records == others + ROWS
    assert loaded.shares == ()
    assert loaded.roles == {"t": "train", "s": "rotate"}


def test_a_source_is_thinned_by_a_draw_of_the_run(tmp_path: Path) -> None:
    source = file(write(tmp_path / "s.jsonl", ROWS), max_per_source=10)
    records = load_records(config(source)).records
    assert len(records) == 10
    assert records != ROWS[:10]
    assert records == load_records(config(source)).records


def test_a_record_that_two_sources_give_is_refused(tmp_path: Path) -> None:
    whole, part = write(tmp_path / "whole.jsonl", ROWS), write(tmp_path / "part.jsonl", ROWS[:4])
    with pytest.raises(ConfigError, match="4 record ids occur twice"):
        load_records(config(file(whole), file(part)))


def test_a_source_under_two_roles_is_refused(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.jsonl", ROWS[:30]), write(tmp_path / "two.jsonl", ROWS[30:])
    with pytest.raises(ConfigError, match="s stands under two roles"):
        load_records(config(file(one), file(two, "train")))
    loaded = load_records(config(file(one), file(two)))
    assert (loaded.records, loaded.roles) == (ROWS, {"s": "rotate"})


def test_each_configured_source_has_its_share_of_the_draws_or_none_has(tmp_path: Path) -> None:
    others = [record(number, "t") for number in range(6)]
    one, two = file(write(tmp_path / "one.jsonl", ROWS)), file(write(tmp_path / "two.jsonl", others), "train")
    shared = [source.model_copy(update={"share": share}) for source, share in ((one, 1.0), (two, 4.0))]
    assert load_records(config(*shared)).shares == (SourceShare(frozenset("s"), 1.0), SourceShare(frozenset("t"), 4.0))
    with pytest.raises(ValidationError, match="share must be given to every source"):
        config(shared[0], two)
    again = file(write(tmp_path / "again.jsonl", [record(99)])).model_copy(update={"share": 1.0})
    with pytest.raises(ConfigError, match="s stands under two shares"):
        load_records(config(*shared, again))


def test_only_the_folds_asked_for_are_planned() -> None:
    folds = plan_folds(ROWS, {}, config(SourceConfig(kind="authored"), run_folds=(2, 0)), QUIET)
    assert [fold.name for fold in folds] == ["fold-2", "fold-0"]


def test_every_family_is_tested_once_and_a_source_that_only_trains_never() -> None:
    records = ROWS + [record(number, "t") for number in range(6)]
    folds = plan_folds(records, {"t": "train"}, config(SourceConfig(kind="authored")), QUIET)
    assert sorted(index for fold in folds for index in fold.test) == list(range(len(ROWS)))
    for fold in folds:
        check_fold(records, fold)
        assert set(range(len(ROWS), len(records))) <= set(fold.train)


def test_a_copy_of_a_held_out_record_is_left_out_of_training() -> None:
    copied = ROWS[7]
    records = [*ROWS, record(99, "t", text=copied.request.messages[0].content, label=copied.label)]
    file = StringIO()
    console = Console(file=file, width=200)
    folds = plan_folds(records, {"t": "train"}, config(SourceConfig(kind="authored")), console)
    (held_out,) = [fold for fold in folds if 7 in fold.test]
    assert held_out.dropped == (len(ROWS),)
    assert "1 left out as bound to held-out records" in file.getvalue()
    assert sum(len(ROWS) in fold.train for fold in folds) + sum(len(ROWS) in fold.dropped for fold in folds) == 3


def test_families_with_a_common_record_go_together_and_it_is_told() -> None:
    records = [*ROWS, replace(ROWS[7], request=replace(ROWS[7].request, id="s/copy"), family="s-copy")]
    file = StringIO()
    folds = plan_folds(records, {}, config(SourceConfig(kind="authored")), Console(file=file, width=200))
    for fold in folds:
        assert len({side for side, indices in fold.sides.items() if {7, len(ROWS)} & set(indices)}) == 1
    assert "Split: " in file.getvalue()
    assert ROWS[7].request.messages[0].content not in file.getvalue()


def test_extraction_that_only_a_stream_shows_is_never_learnt_and_tested_once_by_a_model_new_to_it() -> None:
    streamed = [replace(each, visibility=Visibility.STREAM) for each in ROWS if each.family in ("s-1", "s-3")]
    beside = replace(record(99, label=Label.EXTRACTION), family="s-5", visibility=Visibility.STREAM)
    known = {each.id for each in streamed}
    records = [*[each for each in ROWS if each.id not in known], *streamed, beside]
    folds = plan_folds(records, {}, config(SourceConfig(kind="authored")), QUIET)
    aside = [index for index, each in enumerate(records) if not each.is_decided]
    tested = [index for fold in folds for index in fold.test]
    assert len(aside) == 7
    assert sorted(tested) == list(range(len(records)))
    for fold in folds:
        check_fold(records, fold)
        assert set(aside).isdisjoint({*fold.train, *fold.validation})
    (held_out,) = [fold for fold in folds if len(records) - 1 in fold.test]
    assert {each.family for each in (records[i] for i in held_out.test)} >= {"s-5"}
    assert any(records[i].family == "s-5" and records[i].is_decided for i in held_out.test)


def test_a_stream_of_a_source_that_only_trains_is_neither_learnt_nor_tested() -> None:
    records = [*ROWS, replace(record(3, "t"), visibility=Visibility.STREAM)]
    for fold in plan_folds(records, {"t": "train"}, config(SourceConfig(kind="authored")), QUIET):
        assert all(len(ROWS) not in indices for indices in fold.sides.values())


def test_a_source_for_testing_is_the_whole_test_and_nothing_bound_to_it_is_learnt() -> None:
    copied = ROWS[7]
    real = [
        record(100, "real", label=Label.EXTRACTION),
        record(101, "real", text=copied.request.messages[0].content, label=copied.label),
        replace(record(102, "real", label=Label.EXTRACTION), visibility=Visibility.STREAM),
        replace(record(103, "real"), label=Label.AMBIGUOUS),
    ]
    streamed = replace(record(104, "t", label=Label.EXTRACTION), visibility=Visibility.STREAM)
    records = [*ROWS, *real, record(105, "t"), streamed]
    roles = {"s": "rotate", "real": "test", "t": "train"}
    (fold,) = plan_folds(records, roles, config(SourceConfig(kind="authored")), QUIET)
    assert [records[i].source for i in fold.test] == ["real"] * 4
    assert fold.dropped == (7,)
    learnt = {*fold.train, *fold.validation}
    assert learnt == set(range(len(ROWS))) - {7} | {len(records) - 2}
    families = [{records[i].family for i in side} for side in (fold.train, fold.validation)]
    assert families[0].isdisjoint(families[1])
    assert {records[i].label for i in fold.validation} == {Label.BENIGN, Label.EXTRACTION}


def test_records_are_told_in_one_line_by_what_one_request_says_of_them() -> None:
    streamed = replace(record(3, "b"), visibility=Visibility.STREAM)
    rows = [*ROWS, record(3, "a", label=Label.AMBIGUOUS), streamed]
    assert describe_records(rows) == (
        "Records: 30 benign of 10 families, 30 extraction of 10 families, 1 ambiguous of 1 families, "
        "1 extraction visible in the stream only of 1 families"
    )


def test_families_are_set_aside_where_attributes_are_trained_and_it_is_told() -> None:
    records = [*ROWS, *(replace(record(number, "t"), attributes=("batch",)) for number in range(30))]
    file = StringIO()
    asked = config(SourceConfig(kind="authored")).model_copy(update={"model": ModelConfig(attribute_weight=0.3)})
    for fold in plan_folds(records, {"t": "train"}, asked, Console(file=file, width=200)):
        assert len({records[i].family for i in fold.aside}) == 1
    assert "3 set aside for the thresholds of attributes" in file.getvalue()
    assert all(
        not fold.aside for fold in plan_folds(records, {"t": "train"}, config(SourceConfig(kind="authored")), QUIET)
    )


def test_techniques_are_held_out_where_the_configuration_says_so(tmp_path: Path) -> None:
    techniques = (Technique.CODING_ANALYSIS, Technique.TOOL_USE_PROBING)
    rows = [
        replace(each, technique=techniques[n // 6 % 2]) if each.is_extraction else each for n, each in enumerate(ROWS)
    ]
    source = file(write(tmp_path / "s.jsonl", rows))
    split = SplitConfig(hold_out="techniques")
    settings = TrainConfig(name="trial", seed=3, sources=(source,), split=split)
    loaded = load_records(settings)
    folds = plan_folds(loaded.records, loaded.roles, settings, QUIET)
    assert [fold.name for fold in folds] == ["without-tool_use_probing", "without-coding_analysis"]
    for fold, technique in zip(folds, reversed(techniques), strict=True):
        assert technique not in {loaded.records[i].technique for i in (*fold.train, *fold.validation)}
    beyond = settings.model_copy(update={"split": SplitConfig(hold_out="techniques", run_folds=(4,))})
    with pytest.raises(ConfigError, match=r"split\.run_folds: a fold beyond the 2 that there are"):
        plan_folds(loaded.records, loaded.roles, beyond, QUIET)

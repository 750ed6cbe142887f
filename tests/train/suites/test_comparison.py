"""Two evaluations compared: what is paired, what is refused, and what the sentence says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from stillwatch.data.errors import InputError
from stillwatch.train.suites.comparison import FIGURES, Comparison, Standing, compare
from stillwatch.train.suites.evaluation import Evaluation

Draw = Callable[..., Evaluation]


@pytest.fixture(scope="module")
def better(draw_evaluation: Draw) -> Comparison:
    return compare(draw_evaluation("old"), draw_evaluation("new", lead=1.0), num_replicates=200)


def test_a_clearly_better_system_is_better_and_the_sentence_says_on_what_by_how_much_over_what(
    better: Comparison,
) -> None:
    main = better.figure("tpr_at_fpr_0.01")
    assert better.standing is Standing.BETTER
    assert better.sentence.startswith(
        f"new is better than old on TPR at 1% FPR: {main.b:.1%} against {main.a:.1%}, +{100 * main.change.value:.1f} "
        f"points [+{100 * main.change.low:.1f}, +{100 * main.change.high:.1f}], over "
    )
    assert f"over {better.num_extraction} extraction records of 20 families and " in better.sentence
    assert f"{better.num_benign} benign records of 20 families; better on " in better.sentence
    assert better.num_extraction + better.num_benign == 1200


def test_turned_round_it_is_worse(draw_evaluation: Draw) -> None:
    found = compare(draw_evaluation("new", lead=1.0), draw_evaluation("old"), num_replicates=200)
    assert found.standing is Standing.WORSE
    assert found.sentence.startswith("old is worse than new on TPR at 1% FPR: ")
    assert " points [-" in found.sentence


def test_a_system_is_not_told_apart_from_itself(draw_evaluation: Draw) -> None:
    one = draw_evaluation("one")
    found = compare(one, one, num_replicates=50)
    assert found.standing is Standing.NOT_TOLD_APART
    assert found.sentence.startswith("one and one are not told apart on TPR at 1% FPR: ")
    assert "0.0 points [0.0, 0.0]" in found.sentence
    assert found.sentence.endswith("; not told apart on TPR at 0.1% FPR, AUROC and AUPRC.")


def test_another_draw_of_the_same_noise_is_not_told_apart(draw_evaluation: Draw) -> None:
    found = compare(draw_evaluation("one"), draw_evaluation("two", seed=1), num_replicates=200)
    assert found.standing is Standing.NOT_TOLD_APART


def test_undecided_rows_are_left_out(draw_evaluation: Draw) -> None:
    one = draw_evaluation("one")
    turned = [row if row.is_decided else replace(row, scores=(99.0,)) for row in one.records]
    assert compare(one, replace(one, records=tuple(turned)), num_replicates=20).figure("auroc").change.value == 0


def test_the_order_of_the_second_ones_rows_does_not_matter(draw_evaluation: Draw) -> None:
    one, two = draw_evaluation("one"), draw_evaluation("two", seed=1)
    turned = replace(two, records=two.records[::-1])
    assert compare(one, turned, num_replicates=20) == compare(one, two, num_replicates=20)


def test_other_rows_are_refused_and_the_message_counts_those_that_match(draw_evaluation: Draw) -> None:
    one = draw_evaluation("one")
    fewer = replace(one, data=replace(one.data, digest="f" * 64), records=one.records[:500])
    with pytest.raises(InputError, match="different rows: 1203 and 500, of which 500 have the same id; evaluate both"):
        compare(one, fewer)
    with pytest.raises(InputError, match="of which 500"):
        compare(one, replace(fewer, data=one.data))
    with pytest.raises(InputError, match="of which 1203"):
        compare(one, replace(fewer, records=one.records))


def test_systems_of_one_evaluation_are_compared_by_name(evaluation: Evaluation) -> None:
    found = compare(evaluation, evaluation, system_b="peer", num_replicates=20)
    assert (found.a, found.b) == ("tiny-1", "peer")
    assert found.figure("auroc").b == pytest.approx(evaluation.system("peer").metrics.auroc.value)
    with pytest.raises(InputError, match="give one of tiny-1, peer"):
        compare(evaluation, evaluation, system_b="nobody")


def test_slices_are_techniques_languages_and_benign_sources(better: Comparison) -> None:
    kinds = {(one.dimension, one.is_extraction) for one in better.slices}
    assert kinds == {("technique", True), ("language", True), ("language", False), ("source", False)}
    sources = better.slices_of("source", is_extraction=False, fpr=0.01)
    assert [one.group for one in sources] == ["source-1", "source-3", "source-5", "source-7"]
    assert sum(one.num_records for one in sources) == better.num_benign


def test_a_comparison_survives_json(better: Comparison) -> None:
    read = json.loads(json.dumps(better.to_json(), allow_nan=False))
    assert read["standing"] == "better"
    assert read["sentence"] == better.sentence
    assert [each["figure"] for each in read["figures"]] == list(FIGURES)
    assert read["figures"][0]["change"] == better.figures[0].change.to_json()


def test_an_unknown_figure_is_refused(evaluation: Evaluation) -> None:
    with pytest.raises(InputError, match=r"give one of tpr_at_fpr_0\.01"):
        compare(evaluation, evaluation, main_figure="accuracy")

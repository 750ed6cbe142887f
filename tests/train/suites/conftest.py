"""A small evaluation of two systems on twenty-four records, and larger ones of one, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stillwatch.train.intervals import Interval, wilson
from stillwatch.train.metrics import precision_recall_points, reliability_bins, roc_points
from stillwatch.train.suites.answers import Case, CaseGroup, CaseRate
from stillwatch.train.suites.evaluation import FORMAT_VERSION, DataInfo, Evaluation, ScoredRecord
from stillwatch.train.suites.system_result import (
    CarriedThreshold,
    Confusion,
    Cost,
    Curves,
    ReliabilityBin,
    SystemResult,
)
from stillwatch.train.summary import FPRS, by_slice, summarise

LABELS = np.array([0] * 12 + [1] * 12)
FAMILIES = [f"family-{number // 3}" for number in range(24)]
SOURCES = [f"source-{number // 6}" for number in range(24)]
TECHNIQUES = ("coding_analysis", "tool_use_probing")
SCORES = {
    "tiny-1": np.array([i / 30 for i in range(12)] + [0.3 + i / 20 for i in range(12)]),
    "peer": np.array([i / 3 for i in range(12)] + [2.5 + i for i in range(12)]),
}


def system(name: str) -> SystemResult:
    scores, is_first = SCORES[name], name == "tiny-1"
    metrics = summarise(LABELS, scores, FAMILIES, seed=1, num_replicates=20)
    slices = {
        dimension: by_slice(LABELS, scores, FAMILIES, groups, thresholds=metrics.thresholds, seed=1, num_replicates=20)
        for dimension, groups in (("source", SOURCES), ("language", ["en", "de"] * 12))
    }
    (fpr, tpr), (recall, precision) = roc_points(LABELS, scores), precision_recall_points(LABELS, scores)
    bins = reliability_bins(LABELS, scores, 4) if is_first else []
    return SystemResult(
        name=name,
        kind="bundle" if is_first else "scores",
        version=f"{name}-0a1b",
        has_probabilities=is_first,
        notes=() if is_first else ("scores on no common scale",),
        metrics=metrics,
        fold_tprs=(tuple(metrics.at(fpr).tpr.value for fpr in FPRS),),
        slices=slices,
        aside=(),
        carried=(CarriedThreshold("review", 0.4, 0.01, slices["language"][:1], slices["source"]),) if is_first else (),
        confusion=Confusion(TECHNIQUES, ((5, 1), (2, 4))) if is_first else None,
        technique_recall={"coding_analysis": wilson(5, 6), "tool_use_probing": wilson(4, 6)} if is_first else {},
        curves=Curves(
            tuple(zip(fpr.tolist(), tpr.tolist(), strict=True)),
            tuple(zip(recall.tolist(), precision.tolist(), strict=True)),
            tuple(ReliabilityBin(*each) for each in bins),
        ),
        cost=Cost(3.5, 4.25, 24, 1) if is_first else None,
    )


def case() -> Case:
    """Typos at two strengths, on the twelve extraction records."""
    ids = tuple(str(number) for number in range(12, 24))
    groups = []
    for strength in (0.5, 1.0):
        rates = tuple(
            CaseRate(
                system=name,
                is_extraction=True,
                fpr=0.01,
                threshold=0.4,
                num_records=12,
                num_families=4,
                rate=Interval(0.25, 0.5, 0.75),
                clean=Interval(0.5, 0.75, 1.0),
                kept=Interval(0.4, 0.5 / 0.75, 0.9),
                score_drop=Interval(0.0, 0.1 * strength, 0.2),
            )
            for name in SCORES
        )
        scores = tuple(tuple((SCORES[name][12:] - 0.1 * strength).tolist()) for name in SCORES)
        groups.append(CaseGroup("typos", strength, None, ids, scores, rates))
    return Case("adversarial", "transforms", "Written in another way", (), (), tuple(groups))


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """Two systems, one of them with probabilities, a technique head and thresholds; one adversarial case."""
    missing = Case("hard_benign", "sources", "Honest requests that look like harvests", (), ("manuals",), ())
    records = tuple(
        ScoredRecord(
            id=str(number),
            source=SOURCES[number],
            family=FAMILIES[number],
            label="extraction" if LABELS[number] else "benign",
            technique=TECHNIQUES[number % 2] if LABELS[number] else None,
            visibility="request" if LABELS[number] else None,
            language=("en", "de")[number % 2],
            num_characters=100 * number + 10,
            fold=0,
            scores=tuple(float(scores[number]) for scores in SCORES.values()),
        )
        for number in range(24)
    )
    return Evaluation(
        format_version=FORMAT_VERSION,
        kind="requests",
        suite="small",
        suite_digest="5" * 64,
        title="A small suite",
        created="2026-01-02T03:04:05+00:00",
        seed=1,
        num_replicates=20,
        data=DataInfo("rows.jsonl", "d" * 64, {"benign": 12, "extraction": 12}, {"benign": 4, "extraction": 4}),
        systems=tuple(system(name) for name in SCORES),
        cases=(case(), missing),
        records=records,
        provenance={"python": "3.11", "version.stillwatch": "0.1.0"},
    )


@pytest.fixture(scope="session")
def draw_evaluation(evaluation: Evaluation) -> Callable[..., Evaluation]:
    """Evaluations of 1,203 rows of 40 families, 4 benign sources and 2 languages; `lead` is how much the system adds
    to extraction, `seed` the noise it sees. Three rows are ambiguous."""
    rng = np.random.default_rng(3)
    families = np.append(np.arange(40), rng.integers(0, 40, 1160))
    labels = families % 2 == 0
    shared = rng.normal(size=40)[families] + rng.normal(size=1200) + 2 * labels

    def draw(name: str = "system", *, lead: float = 0.0, seed: int = 0) -> Evaluation:
        scores = shared + lead * labels + 0.2 * np.random.default_rng(seed).normal(size=1200)
        rows = [
            ScoredRecord(
                id=f"row-{number}",
                source=f"source-{family % 8}",
                family=f"family-{family}",
                label="extraction" if label else "benign",
                technique=TECHNIQUES[family // 2 % 2] if label else None,
                visibility="request" if label else None,
                language=("en", "de")[family // 4 % 2],
                num_characters=100,
                fold=0,
                scores=(float(score),),
            )
            for number, (family, label, score) in enumerate(zip(families.tolist(), labels, scores, strict=True))
        ]
        aside = [replace(row, id=f"aside-{row.id}", label="ambiguous", technique=None) for row in rows[:3]]
        return replace(
            evaluation,
            data=replace(evaluation.data, digest="e" * 64),
            systems=(replace(evaluation.first, name=name),),
            records=(*rows, *aside),
        )

    return draw

"""The model card that travels in a bundle: what it learnt from, what it reached on unseen families, its limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from stillwatch.data.records import LabelledRequest
from stillwatch.model.calibration import Calibration, sigmoid
from stillwatch.train.calibrate import Reliability
from stillwatch.train.config import TrainConfig
from stillwatch.train.metrics import reliability_bins
from stillwatch.train.results import Results
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import NAMES, percent

NUM_ROWS = 10
"""Groups of requests, by rising probability, that the card tells the probability of."""


def write_card(
    config: TrainConfig,
    learnt_from: Sequence[LabelledRequest],
    results: Results,
    calibration: Calibration,
    reliability: Reliability | None,
) -> str:
    """The card as Markdown.

    Args:
        config: of the run.
        learnt_from: the records that the bundled model was trained on.
        results: measured on held-out families by models trained in the same way.
        calibration: of the bundle.
        reliability: of its probability; None where it could not be measured.
    """
    return "\n".join(
        [
            f"# Model card: {config.bundle.name}",
            "",
            "Scores one request to an LLM API: how probable is it that its answer is wanted as training data for "
            "another model (distillation), and by which technique. It sees no account, no address and no time.",
            "",
            "## Use",
            "",
            "Advice to a gateway, beside other evidence. Never a reason of its own to refuse or ban anyone: most "
            "single requests of an attacker look ordinary, and some honest requests look like an attack. The "
            "probability assumes even odds; at a gateway, use the action or set a threshold on your own traffic.",
            "",
            "## What it learnt from",
            "",
            f"Base encoder: `{config.model.encoder}` (Apache-2.0 for the default).",
            "",
            *_sources_table(learnt_from),
            "",
            "## What it reached on families it had not seen",
            "",
            f"{results.first.num_extraction} extraction requests of {results.first.num_extraction_families} families "
            f"and {results.first.num_benign} benign ones of {results.first.num_benign_families}, held out by whole "
            f"families in {len(results.fold_tprs['stillwatch'])} fold(s), one seed; 95% intervals over families. "
            + (
                "The bundled model is a further fit on all records listed above; it was itself tested on none."
                if config.bundle.train_on == "all"
                else "The bundled model is the one measured here."
            ),
            "",
            *_results_table(results),
            "",
            "Techniques, share caught at the threshold of 1% benign:",
            "",
            *[
                f"- {rate.group}: {percent(rate.rate)} ({rate.num_records} records, {rate.num_families} families)"
                for rate in results.slices["technique"]
                if rate.fpr == FPRS[0]
            ],
            "",
            "## Probability",
            "",
            *tell_probability(calibration, reliability),
            "",
            "## Thresholds",
            "",
            _tell_thresholds(calibration),
            "",
            "## Reasons",
            "",
            "Beside technique and threshold, a verdict may name what the request asks for, where at least 80% of the "
            "requests of held-out families that were so named had it: "
            f"{', '.join(calibration.attribute_logits) or 'none yet'}.",
            "",
            "## Limits",
            "",
            "- Attack families unlike those above may pass unseen; see the spread over families in the run's plots.",
            "- The default encoder was trained on English; other languages are read less well.",
            "- Honest batch jobs with long templates, rubrics and demanded formats are where false alarms gather.",
            "",
        ]
    )


def tell_probability(calibration: Calibration, reliability: Reliability | None) -> list[str]:
    """The card's section on the probability, as lines: what fitted it, and how far it holds on other families."""
    rows = f"{calibration.num_benign} benign and {calibration.num_extraction} extraction requests"
    on_test = calibration.fitted_on == "test"
    origin = f"the {rows} tested above" if on_test else f"{rows} of validation families"
    opening = f"At even odds (benign and extraction weigh the same), by Platt scaling on {origin}."
    if reliability is None:
        return [f"{opening} Too few families stood there to tell how far it holds on others."]
    whom = (
        f"Told of each of those {reliability.num_families} families by a fit on all the others"
        if on_test
        else f"On the {reliability.num_families} families tested above, which did not set it"
    )
    return [
        f"{opening} {whom}, its calibration error is {reliability.ece} and its Brier score {reliability.brier} (95% "
        "intervals over families). A family unlike all of these can lie further off: no probability can promise more.",
        "",
        "| said, on average | was extraction | records |",
        "|---|---|---|",
        *[
            f"| {said:.1%} | {share:.1%} | {num_records} |"
            for said, share, num_records in reliability_bins(reliability.labels, reliability.probabilities, NUM_ROWS)
        ],
    ]


def _tell_thresholds(calibration: Calibration) -> str:
    origin = (
        "the same requests, on which these rates hold by construction"
        if calibration.fitted_on == "test"
        else "the same requests"
    )
    return (
        f"Set on {origin}: `review` from probability {sigmoid(calibration.review_logit):.3f} "
        f"({calibration.review_fpr:.1%} of those benign), `flag` from {sigmoid(calibration.flag_logit):.4f} "
        f"({calibration.flag_fpr:.1%}). They do not carry over to other traffic unchecked."
    )


def _sources_table(records: Sequence[LabelledRequest]) -> list[str]:
    groups: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for record in records:
        key = (record.source, record.label.value, record.license or "not stated")
        groups[key].add(record.family)
        counts[key] += 1
    rows = [
        f"| {s} | {label} | {counts[s, label, lic]} | {len(groups[s, label, lic])} | {lic} |"
        for s, label, lic in sorted(groups)
    ]
    return ["| source | label | records | families | licence |", "|---|---|---|---|---|", *rows]


def _results_table(results: Results) -> list[str]:
    rows = [
        f"| {NAMES.get(name, name)} | {metrics.auroc} | "
        + " | ".join(percent(metrics.at(fpr).tpr) for fpr in FPRS)
        + " |"
        for name, metrics in results.systems.items()
    ]
    return ["| system | AUROC | TPR at 1% FPR | TPR at 0.1% FPR |", "|---|---|---|---|", *rows]

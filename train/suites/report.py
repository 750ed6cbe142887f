"""The report of an evaluation: one HTML file that a researcher opens, prints, and passes on.

It works without a network and without scripts, in light, in dark and on paper. It shows ids and scores, and text of
requests only where the caller hands it over. What a figure does not say stands at the end of the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from stillwatch.train.suites.comparison import Comparison, tell_change
from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.suites.pairing import name_tpr
from stillwatch.train.suites.report_cases import draw_case
from stillwatch.train.suites.report_charts import FPR_LIMIT, draw_aside, draw_caught, draw_flagged
from stillwatch.train.suites.report_figures import draw_reliability, draw_roc, draw_scores
from stillwatch.train.suites.report_palette import to_css
from stillwatch.train.suites.report_records import MAX_ROWS, RecordShelf
from stillwatch.train.suites.report_wording import (
    compare_peers,
    count,
    count_families,
    name_fpr,
    name_system,
    reveal,
    tell_finding,
    tie,
)
from stillwatch.train.suites.system_result import SystemResult
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import percent

MAX_TEXT_CHARACTERS = 20_000
"""Of one embedded text; the rest is counted."""

_ASIDE = "ambiguous"  # the kind of case that stands with the records set aside
_RARE = 1_000  # one extraction request among so many, to show what a base rate does


@dataclass(frozen=True, slots=True)
class Text:
    """A request that the caller asked to embed."""

    anchor: str
    id: str
    language: str
    content: str
    rest: str


def write_report(evaluation: Evaluation, path: Path, texts: Mapping[str, str] | None = None) -> None:
    """Write the report of an evaluation.

    Args:
        evaluation: what was measured.
        path: the HTML file; its folder is made.
        texts: text by record id. When given, the page embeds those of the records that it lists, each collapsed, and
            says so at its top: such a file is as confidential as the requests. No text stands in it otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_report(evaluation, texts), "utf-8")


def render_report(evaluation: Evaluation, texts: Mapping[str, str] | None = None) -> str:
    """The page that `write_report` writes."""
    comparisons = compare_peers(evaluation)
    shelf = RecordShelf(evaluation, texts or {})
    first = evaluation.first
    context = {
        "evaluation": evaluation,
        "name": name_system(first.name),
        "created": datetime.fromisoformat(evaluation.created).strftime("%Y-%m-%d %H:%M %Z"),
        "finding": tell_finding(evaluation, comparisons),
        "fprs": [name_fpr(fpr) for fpr in FPRS],
        "systems": [_tell_system(system) for system in evaluation.systems],
        "has_folds": any(len(system.fold_tprs) > 1 for system in evaluation.systems),
        "comparisons": [_tell_comparison(each) for each in comparisons],
        "roc": draw_roc(evaluation.systems),
        "scores": draw_scores(evaluation),
        "reliability": [draw_reliability(system) for system in evaluation.systems if system.curves.reliability],
        "caught": draw_caught(evaluation, shelf),
        "flagged": draw_flagged(evaluation, shelf),
        "fpr_limit": f"{100 * FPR_LIMIT.value:g}%",
        "cases": [draw_case(case, evaluation, shelf) for case in evaluation.cases if case.kind != _ASIDE],
        "aside": draw_aside(evaluation, shelf),
        "aside_cases": [draw_case(case, evaluation, shelf) for case in evaluation.cases if case.kind == _ASIDE],
        "provenance": _list_provenance(evaluation),
        "limits": _list_limits(evaluation),
        "max_rows": MAX_ROWS,
        "texts": _shelve_texts(evaluation, shelf, texts or {}),
        "embeds_texts": texts is not None,
        "light": to_css(dark=False),
        "dark": to_css(dark=True),
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"reveal": reveal, "percent": percent}
    environment.globals |= {"count": count, "count_families": count_families, "name_system": name_system}
    return environment.get_template("report.html.j2").render(context)


def _tell_system(system: SystemResult) -> dict[str, object]:
    metrics = system.metrics
    return {
        "name": name_system(system.name),
        "kind": system.kind,
        "version": system.version,
        "auroc": tie(str(metrics.auroc)),
        "auprc": tie(str(metrics.auprc)),
        "tprs": [percent(metrics.at(fpr).tpr) for fpr in FPRS],
        "folds": [f"{system.mean_over_folds(fpr):.1%}" for fpr in FPRS] if len(system.fold_tprs) > 1 else None,
        "ece": tie(str(metrics.ece)) if system.has_probabilities and metrics.ece else "no probabilities",
        "brier": tie(str(metrics.brier)) if system.has_probabilities and metrics.brier else "no probabilities",
        "notes": system.notes,
        "cost": system.cost,
        "carried": system.carried,
        "confusion": system.confusion,
        "recall": system.technique_recall,
    }


def _tell_comparison(comparison: Comparison) -> str:
    told = []
    for fpr in FPRS:
        found = comparison.figure(name_tpr(fpr))
        standing = {1: "better", -1: "worse", 0: "not told apart"}[found.direction]
        told.append(f"{standing} at {name_fpr(fpr)} ({tell_change(found.figure, found.change)})")
    return f"{comparison.b} against {comparison.a}: {', '.join(told)}."


def _list_provenance(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [
        ("data", evaluation.data.name),
        ("digest of the data", evaluation.data.digest),
        ("suite", evaluation.suite),
        ("digest of the suite", evaluation.suite_digest),
        ("date", evaluation.created),
        ("bootstrap replicates", f"{evaluation.num_replicates:,}"),
        *((f"version of {name_system(system.name)}", system.version) for system in evaluation.systems),
        *(
            (name, value)
            for name, value in {"seed": str(evaluation.seed), **evaluation.provenance}.items()
            if not name.startswith("mlflow.")  # the tracking store's own copies, and the user's name
        ),
    ]


def _list_limits(evaluation: Evaluation) -> list[str]:
    metrics = evaluation.first.metrics
    strict = FPRS[-1]
    limits = [
        "They speak of these rows. Real attackers and real customers write otherwise, and families unlike these may "
        "fare better or worse than any interval here.",
        "Each system was fitted in this run, and scored records of families that it was not fitted on. The intervals "
        "cover the choice of records and families, not the chance of a training run."
        if evaluation.kind == "training"
        else "Only a system's own word tells what it was trained on. Where it has seen these families and does not say "
        "so, its figures are too good.",
        f"Thresholds were chosen on the {metrics.num_benign:,} benign records of this page. On other traffic the same "
        "threshold flags another share.",
    ]
    if metrics.num_benign * strict < 1:
        limits.append(
            f"{metrics.num_benign:,} benign records cannot resolve {name_fpr(strict)} false alarms: that threshold "
            "stands above all of them, and one more record could move it far."
        )
    tpr, fpr = metrics.at(FPRS[0]).tpr.value, FPRS[0]
    flagged = tpr + fpr * (_RARE - 1)
    limits += [
        f"The share of extraction among these rows says nothing of a gateway. Where 1 request in {_RARE:,} is "
        f"extraction, {tpr / flagged:.0%} of what the {name_fpr(fpr)} threshold flags would be.",
        "Many slices are shown, and no interval is corrected for that: among twenty, one stands out by chance.",
        "One request is judged at a time. What only a stream of requests shows is not measured here.",
    ]
    if any(system.cost for system in evaluation.systems):
        limits.append("Times are of one machine at one hour; compare them within this page only.")
    return limits


def _shelve_texts(evaluation: Evaluation, shelf: RecordShelf, texts: Mapping[str, str]) -> list[Text]:
    languages = {record.id: record.language for record in evaluation.records}
    shelved = []
    for id_, anchor in shelf.anchors.items():
        content, hidden = texts[id_][:MAX_TEXT_CHARACTERS], len(texts[id_]) - MAX_TEXT_CHARACTERS
        rest = f"{count(hidden, 'more character')} not shown." if hidden > 0 else ""
        shelved.append(Text(anchor, reveal(id_), languages[id_], reveal(content), rest))
    return shelved

"""Where an evaluation goes: a JSON file, a report, and a run of the tracking store. No text unless asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from stillwatch.train.suites.evaluation import Evaluation
from stillwatch.train.tracking import Tracker

EXPERIMENT = "stillwatch-evaluation"
"""The experiment that evaluations are runs of when nothing else is asked for."""


def track_evaluation(evaluation: Evaluation, experiment: str = EXPERIMENT) -> str:
    """Log an evaluation as a run: figures, data set, `evaluation.json`, and `report.html`, always without text.

    Args:
        evaluation: what was measured.
        experiment: name of the experiment.

    Returns:
        the run's id.

    Raises:
        TrackingError: the store does not answer.
    """
    with Tracker.open(experiment, f"{evaluation.suite} of {evaluation.first.name}") as tracker:
        tracker.set_tags(
            {
                **evaluation.provenance,
                "dataset.digest": evaluation.data.digest,
                "suite": evaluation.suite,
                "suite.digest": evaluation.suite_digest,
                "model": evaluation.first.name,
                "model.version": evaluation.first.version,
            }
        )
        tracker.log_params(
            {"suite": evaluation.suite, "data": evaluation.data.name, "systems": list_systems(evaluation)}
        )
        tracker.log_dataset(evaluation.data.name, evaluation.data.digest, evaluation.data.num_records, "test")
        tracker.log_metrics(flatten(evaluation))
        tracker.log_json(evaluation.to_json(), "evaluation.json")
        with TemporaryDirectory() as scratch:
            path = Path(scratch) / "report.html"
            write_html(evaluation, path)
            tracker.log_text(path.read_text("utf-8"), "report.html")
        return tracker.run_id


def write_html(evaluation: Evaluation, path: Path, texts: Mapping[str, str] | None = None) -> None:
    """Write the report; `texts` by record id are embedded when they are given."""
    from stillwatch.train.suites.report import write_report  # draws with matplotlib: only when a report is wanted

    path.parent.mkdir(parents=True, exist_ok=True)
    write_report(evaluation, path, texts)


def list_systems(evaluation: Evaluation) -> list[str]:
    """Name, kind and version of each system in a line."""
    return [f"{system.name} ({system.kind} {system.version})" for system in evaluation.systems]


def flatten(evaluation: Evaluation) -> dict[str, float]:
    """Flat figures for a tracking store: `test/...` of the model, `beside/N/...` of the others, `case/...` of cases."""
    figures: dict[str, float] = {}
    for number, system in enumerate(evaluation.systems):
        prefix = "test" if number == 0 else f"beside/{number}"
        figures |= system.metrics.to_metrics(prefix)
        if system.cost is not None:
            figures[f"{prefix}/ms_per_request"] = system.cost.median_ms
    for case in evaluation.cases:
        for group in case.groups:
            name = f"case/{case.name}/{_plain(group.name)}"
            name += "" if group.strength is None else f"/{group.strength:g}"
            for rate in group.rates:
                if rate.system == evaluation.first.name:
                    kind = "tpr" if rate.is_extraction else "fpr"
                    figures[f"{name}/{kind}_at_fpr_{rate.fpr:g}"] = rate.rate.value
                    if rate.kept is not None and rate.is_extraction:
                        figures[f"{name}/kept_at_fpr_{rate.fpr:g}"] = rate.kept.value
    return figures


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-. ") else "_" for letter in name)

"""The plots of a run: which curves and slices go on which page of the tracking store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from stillwatch.data.records import LabelledRequest
from stillwatch.train.calibrate import Reliability
from stillwatch.train.plots import family_bars, precision_recall, roc_log, score_histograms
from stillwatch.train.plots import reliability as draw_reliability
from stillwatch.train.results import Results
from stillwatch.train.rotation import SYSTEM, FoldResult
from stillwatch.train.summary import FPRS
from stillwatch.train.tables import NAMES


def draw_figures(
    records: Sequence[LabelledRequest],
    fold_results: Sequence[FoldResult],
    results: Results,
    reliability: Reliability | None,
) -> dict[str, Figure]:
    """Figures by the path under which a run keeps them, over the test records of every fold.

    That of the probability is the bundle's, on families that did not calibrate it; left out where that is unknown.
    """
    indices = [i for result in fold_results for i in result.fold.test]
    decided = np.array([records[i].is_decided for i in indices])
    labels = np.array([int(records[i].is_extraction) for i in indices])[decided]
    scores = {
        name: np.concatenate([result.scores[name] for result in fold_results])[decided] for name in results.systems
    }
    curves = {NAMES.get(name, name): (labels, values) for name, values in scores.items()}
    ours = scores[SYSTEM]
    thresholds = {f"{fpr:.1%} FPR": results.first.at(fpr).threshold for fpr in FPRS}
    strict = [r for r in results.slices["family"] if r.is_extraction and r.fpr == FPRS[0]]
    figures = {
        "plots/roc.png": roc_log(curves),
        "plots/precision_recall.png": precision_recall(curves),
        "plots/score_histograms.png": score_histograms(labels, ours, thresholds),
        "plots/families.png": family_bars(strict),
    }
    if reliability is not None:
        figures["plots/reliability.png"] = draw_reliability(reliability.labels, reliability.probabilities)
    return figures

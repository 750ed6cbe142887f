"""Fits the cascade of long requests: a linear model that tells where the encoder should look, and how it is weighed.

Distilled from the fitted encoder's own logits of windows and of innocent passages, beside labels for requests of one
window, and demands put between innocent paragraphs, whose target stays that of the demand alone: the encoder's own
logit of such a window is often low, and the first stage must point at it all the same. Then the margin of passages is
measured on honest long requests. Deterministic by seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from stillwatch.data.chance import Chance
from stillwatch.data.records import LabelledRequest
from stillwatch.data.seed_texts import make_document
from stillwatch.data.wrappings import pad
from stillwatch.model.first_stage import NUM_BUCKETS, FirstStage, hash_pieces
from stillwatch.model.logits import compute_logits
from stillwatch.model.runtimes import Runtime
from stillwatch.model.selection import Cascade, Selection, select_windows
from stillwatch.model.windows import Windower, Windows
from stillwatch.train.progress import bar
from stillwatch.train.validation import draw_evenly

MAX_RECORDS = 2000
"""Training requests whose windows the encoder is asked about, dealt evenly over families."""
MAX_LABELLED = 12_000
"""Training requests of which at least the label is learnt, dealt evenly, too."""
WINDOWS_A_RECORD = 3
NUM_DOCUMENTS = 400
"""Innocent documents, whole and in passages."""
NUM_HONEST, NUM_BURIED = 64, 32
"""Benign training requests that are buried to measure the margin, and extraction of held-out families for recall."""
BURIED_CHARACTERS = 20_000

_LABEL_LOGIT = 3.0
_MOST_LOGIT = 5.0
_ALPHA = 0.3

Piece = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """How often the first stage points where the encoder would.

    Attributes:
        num_requests: requests of held-out families, buried in `BURIED_CHARACTERS` of innocent text.
        top_window: share in which the encoder's highest window of all is among the chosen, or a passage of it is.
        gain: mean logit of a request by what was chosen, less that by all windows; above 0 where passages help.
    """

    num_requests: int
    top_window: float
    gain: float


def fit_cascade(
    records: Sequence[LabelledRequest],
    windower: Windower,
    runtime: Runtime,
    *,
    max_encoded_windows: int,
    pad_id: int,
    seed: int,
) -> Cascade:
    """Fit on training records.

    Args:
        records: what the encoder learnt from.
        windower: cuts them as the encoder reads them.
        runtime: the fitted encoder.
        max_encoded_windows: of a request, at least 1.
        pad_id: token id of padding.
        seed: of the draws.
    """
    first_stage = _fit_first_stage(records, windower, runtime, pad_id, seed)
    cascade = Cascade(first_stage, max_encoded_windows, 0.0)
    return replace(cascade, passage_margin=_measure_margin(cascade, records, windower, runtime, pad_id, seed))


def _fit_first_stage(
    records: Sequence[LabelledRequest], windower: Windower, runtime: Runtime, pad_id: int, seed: int
) -> FirstStage:
    chance = Chance(f"{seed}/first stage")
    drawn = draw_evenly([record for record in records if record.is_decided], MAX_RECORDS, seed)
    cut = [windower.cut(record.request) for record in drawn]
    pieces = [ids for windows in cut for ids in _draw_windows(windows, chance)]
    owners = np.repeat(np.arange(len(cut)), [min(WINDOWS_A_RECORD, len(w.ids)) for w in cut])
    documents = _draw_documents(windower, [record.lang for record in drawn], chance)
    with bar("fitting the cascade", len(pieces) + len(documents), "windows") as advance:
        logits = _ask(runtime, [*pieces, *documents], pad_id, advance)
    targets = np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT)
    for place, owner in enumerate(owners):
        if len(cut[owner].ids) == 1:
            targets[place] = (targets[place] + (_LABEL_LOGIT if drawn[owner].is_extraction else -_LABEL_LOGIT)) / 2
    # Labels alone of the records that the encoder was not asked about: they cost nothing.
    asked = {record.id for record in drawn}
    others = [r for r in draw_evenly([r for r in records if r.is_decided], MAX_LABELLED, seed) if r.id not in asked]
    labelled = [(r, windower.cut(r.request).ids) for r in others]
    label_pieces = [ids[0] for _, ids in labelled if len(ids) == 1]
    label_targets = [_LABEL_LOGIT if r.is_extraction else -_LABEL_LOGIT for r, ids in labelled if len(ids) == 1]
    # Every document beside a demand: what is innocent must not count against it.
    demands = [i for i, owner in enumerate(owners) if drawn[owner].is_extraction and len(cut[owner].ids) == 1]
    buried: list[Piece] = []
    buried_targets: list[float] = []
    for document in documents if demands else ():
        place = chance.choice(demands)
        buried.append((*document[: chance.randint(0, len(document))], *pieces[place]))
        buried_targets.append(float(targets[place]))
    return _solve(
        [*pieces, *documents, *label_pieces, *buried], np.concatenate([targets, label_targets, buried_targets])
    )


def measure_recall(
    cascade: Cascade,
    records: Sequence[LabelledRequest],
    windower: Windower,
    runtime: Runtime,
    *,
    pad_id: int,
    seed: int,
) -> Recall | None:
    """How well the first stage chooses on buried requests of families that neither model has seen.

    Args:
        cascade: with the fitted first stage.
        records: of held-out families; the result is None where no extraction is among them.
        windower: as for fitting.
        runtime: the fitted encoder.
        pad_id: token id of padding.
        seed: of the draws.
    """
    cut = _bury(_draw_buried([record for record in records if record.is_extraction], NUM_BURIED, seed), windower, seed)
    if not cut:
        return None
    chosen = [select_windows(each, windower, cascade) for each in cut]
    whole = compute_logits(runtime, cut, pad_id=pad_id)
    selected = compute_logits(runtime, chosen, pad_id=pad_id)
    hits = [w.top_window in c.origins for w, c in zip(whole, chosen, strict=True)]
    gains = [s.extraction - w.extraction for s, w in zip(selected, whole, strict=True)]
    return Recall(len(cut), float(np.mean(hits)), float(np.mean(gains)))


def _measure_margin(
    cascade: Cascade,
    records: Sequence[LabelledRequest],
    windower: Windower,
    runtime: Runtime,
    pad_id: int,
    seed: int,
) -> float:
    """By how much passages shift the scores of honest long requests, where these are high: at the upper quartile.

    Beside the windows of a buried request those of the request by itself count: that a passage gives an honest
    request the score that it has alone is what passages are for.
    """
    honest = _draw_buried([record for record in records if not record.is_extraction], NUM_HONEST, seed)
    passages, others = [], []
    for record, windows in zip(honest, _bury(honest, windower, seed), strict=True):
        selection = select_windows(windows, windower, cascade)
        alone = windower.cut(record.request).ids
        logits = _ask(runtime, [*alone, *selection.ids], pad_id)
        is_passage = np.array([*(False for _ in alone), *(ids not in windows.ids for ids in selection.ids)])
        if is_passage.any():
            passages.append(float(logits[is_passage].max()))
            others.append(float(logits[~is_passage].max()))
    if not passages:
        return 0.0
    return round(max(0.0, float(np.quantile(passages, 0.75) - np.quantile(others, 0.75))), 3)


def _draw_buried(records: Sequence[LabelledRequest], limit: int, seed: int) -> list[LabelledRequest]:
    return draw_evenly([record for record in records if record.is_decided], limit, seed)


def _bury(records: Sequence[LabelledRequest], windower: Windower, seed: int) -> list[Windows]:
    """The windows of these requests, each put between innocent documents."""
    cut = []
    for record in records:
        chance = Chance(f"{seed}/bury/{record.id}")
        messages = pad(record.request.messages, BURIED_CHARACTERS, chance, record.lang)
        cut.append(windower.cut(replace(record.request, messages=messages)))
    return cut


def _draw_windows(windows: Windows, chance: Chance) -> list[Piece]:
    return chance.sample(windows.ids, min(WINDOWS_A_RECORD, len(windows.ids)))


def _draw_documents(windower: Windower, languages: Sequence[str], chance: Chance) -> list[Piece]:
    """Innocent documents, each as one window at most, and one passage of each."""
    pieces: list[Piece] = []
    for _ in range(NUM_DOCUMENTS):
        document = make_document(chance, chance.choice(languages))
        ids = windower.encode(f"{document['title']}\n\n{document['body']}")
        start, size = chance.randint(0, len(ids)), chance.randint(16, 96)
        pieces += [windower.seal(ids[: windower.room]), windower.seal(ids[start : start + size])]
    return [piece for piece in pieces if len(piece) > len(windower.seal(()))]


def _ask(
    runtime: Runtime, pieces: Sequence[Piece], pad_id: int, on_progress: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """The encoder's extraction logit of each piece."""
    requests = [Selection((piece,), (0,), (0,), (0.0,)) for piece in pieces]
    found = compute_logits(runtime, requests, pad_id=pad_id, on_progress=on_progress)
    return np.array([each.extraction for each in found], np.float64)


def _solve(pieces: Sequence[Piece], targets: NDArray[np.float64]) -> FirstStage:
    """Ridge regression on features scaled as the first stage scales them; the constant is of no use for ranking."""
    buckets, owners = hash_pieces(pieces)
    counts = np.bincount(owners, minlength=len(pieces))
    shape = (len(pieces), NUM_BUCKETS)
    features = csr_matrix((1 / np.sqrt(counts[owners]), (owners, buckets.astype(np.int64))), shape=shape)
    ridge = Ridge(alpha=_ALPHA, solver="sparse_cg", tol=1e-4)
    ridge.fit(features, targets)
    # As the bundle will hold them, so that what is measured here is what is served.
    return FirstStage(ridge.coef_.astype(np.float16).astype(np.float32))

"""What every result stands beside, trained and tested on the same rows: two models that need no fine-tuning.

Both read the same text as the classifier. A baseline gives a score, higher for extraction, on no common scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer

from stillwatch.data.records import LabelledRequest
from stillwatch.model.encoder import resolve_encoder
from stillwatch.model.network import RequestClassifier
from stillwatch.model.render import render_text
from stillwatch.model.windows import WindowConfig, Windower
from stillwatch.train.classifier import pad_token_id
from stillwatch.train.config import ModelConfig, TrainConfig
from stillwatch.train.examples import WindowCollator

Scores = NDArray[np.float64]


FROZEN_WINDOWS = 2
"""Windows of a request that the frozen encoder reads: 512 tokens by default, the usual cut of such baselines."""


class Baseline(Protocol):
    """Fits on records and scores records."""

    def fit_score(self, train: Sequence[LabelledRequest], test: Sequence[LabelledRequest]) -> Scores:
        """Fit on `train`, then score `test`: shape (test records,)."""
        ...


class TfidfBaseline:
    """Word uni- and bigrams weighted by TF-IDF, then logistic regression."""

    def fit_score(self, train: Sequence[LabelledRequest], test: Sequence[LabelledRequest]) -> Scores:
        """See `Baseline.fit_score`."""
        pipeline: Pipeline = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, max_features=300_000),
            LogisticRegression(C=10.0, class_weight="balanced", solver="liblinear"),
        )
        pipeline.fit([render_text(r.request) for r in train], [r.is_extraction for r in train])
        return np.asarray(pipeline.decision_function([render_text(r.request) for r in test]))


class FrozenEncoderBaseline:
    """The base encoder as it comes, mean-pooled over the first windows, then logistic regression on unit vectors.

    Without unit length a vector's norm, which falls with the length of the text, decides the tails of the scores.
    Embeddings are computed once for each record and kept, so that a rotation reads every text once.
    """

    def __init__(self, model: ModelConfig, on_progress: Callable[[int], None] | None = None) -> None:
        """Load the encoder. `on_progress` is called with the number of windows done since the last call."""
        folder = resolve_encoder(model.encoder, model.revision)
        self._classifier = RequestClassifier.from_encoder(folder, attention=model.attention).eval()
        tokenizer = folder / "tokenizer.json"
        self._windower = Windower.load(tokenizer, WindowConfig(model.max_tokens, model.overlap_tokens))
        self._collator = WindowCollator(pad_token_id(self._classifier, tokenizer))
        self._on_progress = on_progress
        self._embeddings: dict[str, NDArray[np.float32]] = {}

    def fit_score(self, train: Sequence[LabelledRequest], test: Sequence[LabelledRequest]) -> Scores:
        """See `Baseline.fit_score`."""
        pipeline: Pipeline = make_pipeline(
            Normalizer(), LogisticRegression(C=10.0, class_weight="balanced", max_iter=2000)
        )
        pipeline.fit(self.embed(train), [r.is_extraction for r in train])
        return np.asarray(pipeline.decision_function(self.embed(test)))

    def embed(self, records: Sequence[LabelledRequest]) -> NDArray[np.float32]:
        """Embeddings of shape (records, width): the mean over the first windows of the mean over tokens."""
        new = [
            (record.id, self._windower.cut(record.request).ids[:FROZEN_WINDOWS])
            for record in records
            if record.id not in self._embeddings
        ]
        flat = sorted(((ids, record) for record, windows in new for ids in windows), key=lambda each: len(each[0]))
        width = self._classifier.extraction_head.in_features
        sums = {record: np.zeros(width, np.float32) for record, _ in new}
        for start in range(0, len(flat), 32):
            batch = flat[start : start + 32]
            vectors = self._encode([ids for ids, _ in batch])
            for (_, record), vector in zip(batch, vectors, strict=True):
                sums[record] += vector
            if self._on_progress is not None:
                self._on_progress(len(batch))
        for record, windows in new:
            self._embeddings[record] = (sums[record] / len(windows)).astype(np.float32)
        return np.stack([self._embeddings[record.id] for record in records])

    def _encode(self, windows: list[tuple[int, ...]]) -> NDArray[np.float32]:
        ids, mask = self._collator.stack([(ids,) for ids in windows])
        device = self._classifier.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            hidden = self._classifier.embed_windows(ids[:, 0].to(device), mask[:, 0].to(device))
        return np.asarray(hidden.float().cpu().numpy(), np.float32)


def build_baselines(config: TrainConfig) -> dict[str, Baseline]:
    """The baselines that a configuration names, in its order."""
    makers: dict[str, Callable[[], Baseline]] = {
        "tfidf": TfidfBaseline,
        "frozen_encoder": lambda: FrozenEncoderBaseline(config.model),
    }
    return {name: makers[name]() for name in config.evaluate.baselines}

"""The typed configuration of a training run, read from YAML in `configs/` and overridden from the command line.

Every wrong key, type or value is refused at once, with the rule in the message. A run records its configuration
whole, so that `stillwatch train --config` on the logged file repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stillwatch.data.configuration import Config, load_config_file
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.recipe import Count, Share
from stillwatch.data.recipe import SourceConfig as DataSource
from stillwatch.data.transforms import TRANSFORMS
from stillwatch.model.encoder import DEFAULT_ENCODER


class SourceConfig(DataSource):
    """Where records come from, how many are taken, and what they are for."""

    role: Literal["rotate", "train", "test"] = "rotate"
    """`rotate`: its families take turns in being held out. `train`: it is only ever trained on. `test`: it is only
    ever tested on, and then nothing else is: the other families train and validate one model."""
    share: Annotated[float, Field(gt=0.0)] | None = None
    """Relative share of the training draws of either label that come from this source: 1 beside 4 is a fifth. Give it
    to every source that is trained on, or to none; then each source weighs as many draws as it has records."""


class SplitConfig(Config):
    """How families are held out."""

    hold_out: Literal["families", "techniques"] = "families"
    """`families`: dealt into `num_folds` groups. `techniques`: a fold for each technique in the records, in the order
    of their vocabulary, with nothing of it to train on; `num_folds` says nothing then."""
    num_folds: Annotated[int, Field(ge=2, le=50)] = 5
    """Into how many groups the families are dealt; each is the test group once."""
    run_folds: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Which of them are run; all when left out."""
    validation_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.2
    """Share of the remaining families that early stopping and calibration look at."""
    attribute_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1
    """Share of the families with attributes that is kept out of training to set the thresholds of attributes on, where
    attributes are trained and no validation record has any."""

    @model_validator(mode="after")
    def _folds_exist(self) -> SplitConfig:
        num_folds = self.num_folds if self.hold_out == "families" else len(TECHNIQUES)
        if self.run_folds is not None and (
            not self.run_folds or max(self.run_folds) >= num_folds or len(set(self.run_folds)) < len(self.run_folds)
        ):
            raise ValueError(f"run_folds must name different folds from 0 to {num_folds - 1}")
        return self


class ModelConfig(Config):
    """The classifier."""

    encoder: str = DEFAULT_ENCODER
    """A folder or a Hugging Face model id; any encoder."""
    revision: str | None = None
    """Commit of the model id; the default encoder brings its own."""
    max_tokens: Annotated[int, Field(ge=32, le=8192)] = 256
    """Tokens in a window, special tokens included."""
    overlap_tokens: Annotated[int, Field(ge=0)] = 24
    """Tokens read twice where a window ends inside a message."""
    freeze_layers: Annotated[int, Field(ge=-1)] = 3
    """Embeddings and this many lower layers stay as they are; 0 freezes the embeddings alone, -1 nothing."""
    head_dropout: Share = 0.1
    encoder_dropout: Share = 0.0
    """Dropout inside the encoder; 0 trains more than twice as fast on a CPU with eager attention."""
    attention: Literal["sdpa", "eager"] = "eager"
    technique_weight: Annotated[float, Field(ge=0.0)] = 0.3
    """Weight of the technique loss beside the extraction loss."""
    attribute_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the loss of the attributes, where records have them."""
    contrastive_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the supervised contrastive loss (Khosla et al., 2020), whose positives are of other families."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05

    @model_validator(mode="after")
    def _overlap_fits(self) -> ModelConfig:
        if self.overlap_tokens * 4 > self.max_tokens:
            raise ValueError("overlap_tokens must be at most a quarter of max_tokens")
        return self


class FitConfig(Config):
    """One fit of the classifier."""

    epochs: Count = 3
    """Upper bound; early stopping on held-out families ends sooner."""
    requests_per_epoch: Count | None = None
    """Draws in an epoch; the number of training records when left out."""
    train_windows: Count = 3
    """Windows of a long request read at a training step: first and last, others drawn anew each epoch."""
    batch_size: Count = 16
    learning_rate: Annotated[float, Field(gt=0.0)] = 5e-5
    head_learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    warmup_share: Share = 0.1
    evaluations_per_epoch: Count = 2
    patience: Count = 3
    """Evaluations without a better held-out result before the fit stops."""
    max_validation_requests: Count = 1000
    """Validation records that are read at each evaluation, dealt evenly over families."""
    family_balance: Share = 0.5
    """0 draws records evenly, 1 draws families evenly; labels are always drawn evenly."""
    balance_surface: bool = False
    """Draw records so that no outward feature (length, markup, language, ...) tells the labels apart."""
    window_balance: Share = 0.0
    """0 draws requests of any length evenly, 1 in proportion to their windows: long ones are rare and hard."""
    head_first: bool = False
    """Fit the heads on the frozen encoder before everything learns (Kumar et al., ICLR 2022)."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    """Fit once with each of these and average the weights (model soup, Wortsman et al., ICML 2022); needs
    `head_first`, for the fits must start from the same heads. When left out, one fit with the run's own seed."""
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Decay of an exponential moving average of the weights, which is then what is evaluated, saved and exported;
    none when left out."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Each layer of the encoder learns at this factor of the rate of the layer above it."""
    token_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the tokens of a training window that the encoder sees masked."""
    transform_share: Share = 0.0
    """Share of the training draws that are read in another writing, drawn anew each time."""
    transforms: tuple[str, ...] = tuple(name for name in TRANSFORMS if name != "burying")
    """Which of `data/transforms.py`; without burying, as a training step reads a few windows of a long request."""
    bf16: bool = True
    num_threads: Count | None = None
    """Torch threads; torch decides when left out."""

    @model_validator(mode="after")
    def _options_fit(self) -> FitConfig:
        if self.seeds and (len(self.seeds) < 2 or len(set(self.seeds)) < len(self.seeds) or not self.head_first):
            raise ValueError("seeds must be two or more different ones, together with head_first")
        if not self.transforms or not set(self.transforms) <= set(TRANSFORMS):
            raise ValueError(f"transforms must be some of {', '.join(TRANSFORMS)}")
        return self


class EvaluateConfig(Config):
    """What is measured, beside what."""

    baselines: tuple[Literal["tfidf", "frozen_encoder"], ...] = ("tfidf", "frozen_encoder")
    bootstrap_replicates: Annotated[int, Field(ge=100)] = 500
    batch_size: Count = 32
    """Windows scored at once."""


class BundleConfig(Config):
    """What passes from training to serving."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = "stillwatch"
    train_on: Literal["all", "fold"] = "all"
    """`all`: one more fit on every family, for as long as the folds took. `fold`: the model of the first fold."""
    review_fpr: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01
    """Share of held-out benign requests at or above the `review` threshold."""
    flag_fpr: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.001
    """The same for `flag`."""
    calibrate_on: Literal["validation", "test"] = "validation"
    """Which held-out requests set probability and thresholds. `test`, where only the test rows are like the traffic to
    come: the rates at the thresholds then hold on them by construction, the probability is measured by leaving one
    family out at a time, and the card says both."""
    max_encoded_windows: Annotated[int, Field(ge=0)] = 10
    """Windows of a request that the encoder reads at most; a first stage, fitted for the bundle, chooses them. 0 reads
    all, however long a request is."""

    @model_validator(mode="after")
    def _flag_is_stricter(self) -> BundleConfig:
        if self.flag_fpr > self.review_fpr:
            raise ValueError("flag_fpr must not be above review_fpr")
        return self


class TrackingConfig(Config):
    """Where the run is recorded. The server is named by MLFLOW_TRACKING_URI and nothing else."""

    experiment: str = "stillwatch"
    register_as: str | None = "stillwatch"
    """Registered model that gets the new version; none when null."""
    alias: str = "challenger"
    """The alias that the new version takes; `champion` is given by `stillwatch promote` alone."""

    @field_validator("alias")
    @classmethod
    def _nobody_is_born_champion(cls, alias: str) -> str:
        if alias == "champion":
            raise ValueError("champion is given by `stillwatch promote`, which asks the gate; name another alias")
        return alias


class TrainConfig(Config):
    """A whole run, in the order of the pipeline."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data_root: Path = Path()
    """The folder that the paths of sources start from; the working folder when left out."""
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)]
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    fit: FitConfig = FitConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    bundle: BundleConfig = BundleConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _shares_are_whole(self) -> TrainConfig:
        given = {source.share is not None for source in self.sources if source.role != "test"}
        if len(given) > 1 or any(source.share is not None for source in self.sources if source.role == "test"):
            raise ValueError("share must be given to every source that is trained on, or to none")
        return self


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a file of `configs/` and apply overrides such as `fit.epochs=2`; see `load_config_file`."""
    return load_config_file(TrainConfig, path, overrides)

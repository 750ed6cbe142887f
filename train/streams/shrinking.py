"""A suite and its model made small enough for ten minutes on two cores: fewer of everything, and a promise of 1%."""

from __future__ import annotations

from typing import TypeVar

from stillwatch.train.streams.settings import StreamsConfig
from stillwatch.train.streams.suite_settings import CampaignSuiteConfig, StreamSuiteConfig

S = TypeVar("S", StreamSuiteConfig, CampaignSuiteConfig)

_RATE = 0.01
_HORIZON = 200
_HONEST = {"calibration": 600, "fresh": 600, "moved": 0, "evaluators": 20}


def shrink_model(config: StreamsConfig) -> StreamsConfig:
    """The model's configuration for a quick answer."""
    model = config.request.model.model_copy(update={"max_tokens": 128, "overlap_tokens": 16})
    fit = config.request.fit.model_copy(
        update={
            "epochs": 1,
            "requests_per_epoch": 4000,
            "train_windows": 1,
            "evaluations_per_epoch": 1,
            "max_validation_requests": 100,
        }
    )
    return config.model_copy(
        update={
            "pool": config.pool.model_copy(update={"per_class": 3}),
            "request": config.request.model_copy(update={"model": model, "fit": fit, "rows_per_family": 8}),
            "world": config.world.model_copy(
                update={
                    "honest_accounts": 300,
                    "drawn_accounts": 300,
                    "campaigns": 150,
                    "most_accounts": 30,
                    "requests": 64,
                }
            ),
            "network": config.network.model_copy(update={"num_members": 1, "num_blind": 0}),
        }
    )


def shrink_suite(suite: S) -> S:
    """The suite for a quick answer: one rotation, one promise, a few accounts of each kind."""
    update: dict[str, object] = {
        "rotations": suite.rotations[:1],
        "rates": (_RATE,),
        "horizon": _HORIZON,
        "honest": suite.honest.model_copy(update=_HONEST),
    }
    if isinstance(suite, StreamSuiteConfig):
        update["cases"] = tuple(case.model_copy(update={"campaigns": 5, "accounts_each": 2}) for case in suite.cases)
        update["baselines"] = suite.baselines.model_copy(update={"calibration": 200, "fresh": 200, "fitted_on": 100})
        update["recalibrations"] = 5
    else:
        update["shapes"] = tuple(
            shape.model_copy(update={"campaigns": 1, "most_accounts": 20}) for shape in suite.shapes
        )
        update["requests"] = 60
    return suite.model_copy(update=update)

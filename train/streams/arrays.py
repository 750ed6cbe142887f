"""A stream as arrays: all that a detector of streams, ours or a published one, may know of an account.

Made once for each account by running the request model over it; detectors never see a text. Nothing here says
how the arrays were made, and a truth (`is_extraction`, `visible`, `families`, `techniques`) is for fitting and
measuring alone: a detector that reads one while it scores is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stillwatch.data.errors import InputError, kind_of
from stillwatch.data.labels import Label, Technique

Floats = NDArray[np.float64]
"""Numbers, one for each request of a stream."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamArrays:
    """The requests of one account in time order.

    Attributes:
        account: opaque identifier.
        label: extraction for any account of an operator, whatever share of it is honest.
        origin: name of the persona or of the operator.
        campaign: opaque identifier of the campaign, or None.
        shape: name of the campaign's or suite's shape, or None.
        embeddings: what the encoder makes of each request, shape `(requests, width)`, float32.
        logits: extraction logit of each request, shape `(requests,)`.
        times_s: when each request came, seconds, never falling, shape `(requests,)`.
        features: what else is measured of each request, shape `(requests, num_features)`; names are kept elsewhere.
        is_extraction: truth of each request, shape `(requests,)`, bool.
        visible: whether one request shows its purpose, shape `(requests,)`, bool; False for honest requests.
        families: family of each request.
        techniques: technique of each request, None for honest ones.
        others: how many other accounts sent the same skeleton lately, shape `(requests,)`; None when not counted.
    """

    account: str
    label: Label
    origin: str
    campaign: str | None
    shape: str | None
    embeddings: NDArray[np.float32]
    logits: Floats
    times_s: Floats
    features: NDArray[np.float32]
    is_extraction: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    families: tuple[str, ...]
    techniques: tuple[Technique | None, ...]
    others: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Refuse columns of unequal length, shapes that are not told above, and times that fall.

        Raises:
            InputError: naming the column.
        """
        for name, num_axes in _AXES.items():
            column = getattr(self, name)
            if column is None and name == "others":
                continue
            if column.ndim != num_axes:
                raise InputError(name, f"an array of {column.ndim} axes", f"give {num_axes}")
        for name in (*_AXES, "families", "techniques"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise InputError(name, kind_of(list(column)), f"give one for each of the {len(self)} requests")
        if np.any(np.diff(self.times_s) < 0):
            raise InputError("times_s", "times that fall", "sort the requests by time")

    def __len__(self) -> int:
        """How many requests."""
        return len(self.logits)

    def head(self, num_requests: int) -> StreamArrays:
        """The stream as it stood after its first requests; the whole when it has no more.

        Args:
            num_requests: how many requests to keep.
        """
        first = slice(None, num_requests)
        return replace(
            self,
            embeddings=self.embeddings[first],
            logits=self.logits[first],
            times_s=self.times_s[first],
            features=self.features[first],
            is_extraction=self.is_extraction[first],
            visible=self.visible[first],
            families=self.families[first],
            techniques=self.techniques[first],
            others=None if self.others is None else self.others[first],
        )


_AXES = {
    "embeddings": 2,
    "logits": 1,
    "times_s": 1,
    "features": 2,
    "is_extraction": 1,
    "visible": 1,
    "others": 1,
}

"""A bundle with a stream model whose answer can be counted on fingers."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.model.bundle import Bundle
from tiny_streams import add_stream, build_count


@pytest.fixture
def stream_bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The tiny bundle with a stream model: the logit is the number of requests; 2 is for review, 4 flags."""
    return add_stream(tiny_bundle, tmp_path / "stream-bundle", build_count(), review_logit=2.0, flag_logit=4.0)

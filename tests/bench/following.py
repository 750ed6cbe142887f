"""The budgets of an account: what its state takes, and what a step of its stream costs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from clocks import time_by_turns
from prompts import body_of_tokens
from rows import Measurement
from stillwatch.data.dialects import parse_request
from stillwatch.model.bundle import STREAM_ONNX, Bundle
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.model.streams.layout import NUM_ATTRIBUTE_SLOTS, NUM_EMBEDDING_SLOTS
from stillwatch.model.streams.observation import Projection
from stillwatch.model.streams.state import MAX_STATE_BYTES
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.model.streams.verdict import Promise, StreamCalibration
from stillwatch.serve import Scorer


def measure_stream(fresh: Scorer) -> list[Measurement]:
    """What an account's state takes, and what following its stream adds to a request of 256 tokens."""
    with TemporaryDirectory() as scratch:
        detector = load_stream(fresh.bundle, Path(scratch))
    states, counter = MemoryStateStore(), MemoryAccountCounter()
    request = parse_request(body_of_tokens(fresh, 256))
    (logits,) = fresh.encode([request])
    clock = iter(range(1_700_000_000, 1_800_000_000, 60))

    def follow() -> int:
        detector.follow(detector.observe(request, logits), "one", next(clock), states=states, counter=counter)
        return states.change("one", lambda kept: (kept or b"", len(kept or b"")))

    most = max(follow() for _ in range(150))
    step, whole = time_by_turns(follow, lambda: fresh.score(request), rounds=25)
    share = step.cpu_ms / whole.cpu_ms
    return [
        Measurement("state of an account", f"<= {MAX_STATE_BYTES} bytes", f"{most} bytes", most <= MAX_STATE_BYTES),
        Measurement("stream step, of a request", "<= 10%", f"{share:.1%}: {step}, {whole}", share <= 0.1),
    ]


def load_stream(bundle: Bundle, scratch: Path) -> StreamDetector:
    """The bundle's stream model, or one of the default shape with random weights."""
    if bundle.has_stream_model:
        print("stream model: the bundle's")
        return StreamDetector.load(bundle.folder)
    from stillwatch.train.streams.exporting import export_network
    from stillwatch.train.streams.fit import build_network
    from stillwatch.train.streams.sealing import build_model
    from stillwatch.train.streams.settings import NetworkConfig

    print("stream model: random weights of the default shape, for the bundle has none")
    num_attributes, width = len(bundle.manifest.attributes), bundle.manifest.embedding_width
    rng = np.random.default_rng(7)
    projection = Projection(
        attribute_offset=np.zeros(num_attributes, np.float32),
        attribute_matrix=rng.normal(size=(num_attributes, NUM_ATTRIBUTE_SLOTS)).astype(np.float32),
        embedding_offset=np.zeros(width, np.float32),
        embedding_matrix=rng.normal(size=(width, NUM_EMBEDDING_SLOTS)).astype(np.float32),
    )
    promise = Promise(account_fpr=0.01, upper_bound=0.02, confidence=0.95, horizon_requests=100, num_accounts=500)
    calibration = StreamCalibration(
        slope=1.0, intercept=0.0, review_logit=1.0, flag_logit=2.0, review_promise=promise, flag_promise=promise
    )
    export_network(build_network(NetworkConfig()), scratch / STREAM_ONNX)
    return StreamDetector(build_model(projection, calibration, {}), scratch / STREAM_ONNX)

"""The scorer: a request in, a verdict out. The same function in evaluation and at the gateway.

Loads once, then only reads: any number of threads may score with one scorer. What is remembered of accounts lies in
the stores that callers hand over. It opens no network connection, and
does not import torch unless asked for the torch runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stillwatch.data.dialects import parse_request
from stillwatch.data.errors import BundleError, StoreError
from stillwatch.data.labels import TECHNIQUES
from stillwatch.data.records import Request
from stillwatch.model.bundle import DEFAULT_BUNDLE, STREAM_ONNX, Bundle, load_bundle, probe_ids
from stillwatch.model.cache import DEFAULT_CACHE_BYTES, ScoringCache
from stillwatch.model.cached_runtime import CachedRuntime
from stillwatch.model.calibration import Action, ThresholdPair, Thresholds, sigmoid
from stillwatch.model.logits import RequestLogits, compute_logits
from stillwatch.model.pooling import softmax
from stillwatch.model.runtime_choice import RuntimeName, find_runtime, open_runtime, read_runtime, read_threads
from stillwatch.model.runtimes import Runtime
from stillwatch.model.selection import Selection, select_windows
from stillwatch.model.streams.accounts import AccountCounter
from stillwatch.model.streams.allow_list import AllowList
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.model.streams.store import StateStore
from stillwatch.model.streams.verdict import StreamCalibration
from stillwatch.model.verdict import Coverage, Evidence, Reason, Verdict, name_attributes, name_disguises
from stillwatch.model.windows import Windower, Windows

PROBE_TOLERANCE = 0.25
"""Largest difference of a probe's logit; processors may round int8 in different ways."""


class Scorer:
    """Scores requests with one bundle.

    Attributes:
        bundle: the bundle.
        runtime: what runs its network.
        cache: what was computed lately; `cache.stats()` tells how often that helped and what it takes.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """Check that this machine computes what the exporter computed; that warms the runtime up, too.

        Args:
            bundle: the bundle.
            runtime: what runs its network.
            cache_bytes: as of `load`.

        Raises:
            BundleError: a probe's score differs, or the stream model is not one of this request model.
            ConfigError: `cache_bytes` below 0.
        """
        self.bundle = bundle
        self.runtime = runtime
        self.cache = ScoringCache(cache_bytes)
        # In company, the last bits of a window depend on that company: such runtimes are asked each time.
        is_cached = runtime.max_batch == 1 and cache_bytes > 0
        self._encoder: Runtime = CachedRuntime(runtime, self.cache.windows) if is_cached else runtime
        self._windower = Windower.load(bundle.tokenizer, bundle.window_config, self.cache.texts)
        self._cascade = bundle.load_cascade()
        self._streams = StreamDetector.load(bundle.folder) if bundle.has_stream_model else None
        if self._streams is not None:
            self._streams.check_widths(len(bundle.manifest.attributes), bundle.manifest.embedding_width)
        network = bundle.manifest.files.get(STREAM_ONNX, "")
        self._stream_layout = None if self._streams is None else self._streams.model.digest_layout(network)
        for number, probe in enumerate(bundle.probes):
            extraction = runtime.run(*probe_ids(probe)).extraction
            expected = probe.int8 if runtime.precision == "int8" else probe.fp32
            difference = abs(float(extraction[0]) - expected)
            if not difference <= PROBE_TOLERANCE:  # refuses NaN, too
                raise BundleError(
                    f"probes.{number}: {runtime.name} on this machine is {difference:.2f} away from the exported "
                    "logit; use the torch runtime here, or export the bundle on such a machine"
                )

    @classmethod
    def load(
        cls,
        folder: str | Path | None = None,
        *,
        runtime: RuntimeName | None = None,
        num_threads: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> Scorer:
        """Load a bundle.

        Args:
            folder: the bundle; the default bundle that ships with the package when left out.
            runtime: `onnxruntime`; `openvino`, where it is installed; `auto` for the faster of both, measured, which
                takes seconds; `torch` for bundles that carry a torch network. What STILLWATCH_RUNTIME says when left
                out, else `onnxruntime`.
            num_threads: threads inside one call of onnxruntime or OpenVINO; what STILLWATCH_THREADS says when left
                out, else 1. OpenVINO takes one call at a time here.
            cache_bytes: memory for what was computed lately, in this process alone (see `model/cache.py`); 0 for
                none. Verdicts are the same, bit by bit. The torch runtime remembers texts, but no windows.

        Raises:
            BundleError: the bundle is incomplete, changed, of another format, or lacks the runtime's model.
            ConfigError: a variable's value is none, OpenVINO is not installed, or `cache_bytes` is below 0.
        """
        name = read_runtime() if runtime is None else find_runtime(runtime, "runtime")
        threads = read_threads() if num_threads is None else num_threads
        bundle = load_bundle(Path(folder) if folder is not None else DEFAULT_BUNDLE)
        if name != "torch":
            return cls(bundle, open_runtime(bundle, name, num_threads=threads).runtime, cache_bytes=cache_bytes)
        if bundle.torch_folder is None:
            raise BundleError("torch: this bundle carries no torch network; use the onnxruntime runtime")
        from stillwatch.model.torch_runtime import TorchRuntime

        return cls(bundle, TorchRuntime.load(bundle.torch_folder), cache_bytes=cache_bytes)

    @property
    def stream_calibration(self) -> StreamCalibration | None:
        """The thresholds of the stream model, where the bundle carries one."""
        return None if self._streams is None else self._streams.model.calibration

    @property
    def stream_layout(self) -> str | None:
        """Digest of what kept states mean: versions, projection and network; None without a stream model.

        Vectors of another projection, or the running maximum of another network, are no evidence under this one's
        thresholds. Bundles that differ in thresholds alone, as those of `stillwatch calibrate`, share it.
        """
        return self._stream_layout

    def score(
        self,
        request: Request | Mapping[str, object],
        *,
        account: str | None = None,
        time_s: float | None = None,
        states: StateStore | None = None,
        counter: AccountCounter | None = None,
        allow_list: AllowList | None = None,
    ) -> Verdict:
        """The verdict on one request, and on its account's stream where `states` are kept.

        The stream is followed when the bundle carries a stream model, `states` are given and the account is known;
        otherwise the request alone is scored and the verdict's `stream` is None. Where a store is away, so is the
        stream, and the verdict's `degraded` says why.

        Args:
            request: a `Request`, or a body as an OpenAI or Anthropic client sends it.
            account: who sent it; the request's own `account` when left out.
            time_s: when, Unix time in seconds; the request's own `time_s` when left out.
            states: where the states of accounts are kept.
            counter: where accounts are counted for each skeleton; without one, nothing is known across accounts.
            allow_list: accounts whose stream is only noted.

        Raises:
            InputError: the body is not a request; which field, what is wrong, what to do.
        """
        parsed = request if isinstance(request, Request) else parse_request(request)
        if account is not None or time_s is not None:
            parsed = replace(
                parsed,
                account=parsed.account if account is None else account,
                time_s=parsed.time_s if time_s is None else time_s,
            )
        ((verdict, logits),) = self._score([parsed], None)
        return self._follow(parsed, verdict, logits, states, counter, allow_list)

    def score_many(
        self,
        requests: Iterable[Request | Mapping[str, object]],
        *,
        states: StateStore | None = None,
        counter: AccountCounter | None = None,
        allow_list: AllowList | None = None,
        thresholds: Sequence[Thresholds] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Verdict]:
        """Verdicts on many requests, each alone, in order; the same ones that `score` would give.

        Args:
            requests: as for `score`; streams are followed by their own accounts and times.
            states: as for `score`, like `counter` and `allow_list`.
            counter: where accounts are counted.
            allow_list: accounts whose stream is only noted.
            thresholds: for each request, what stands in for the bundle's thresholds; the bundle's when left out.
            on_progress: called with the number of windows done since the last call.
        """
        parsed = [r if isinstance(r, Request) else parse_request(r) for r in requests]
        own = [Thresholds()] * len(parsed) if thresholds is None else thresholds
        scored = self._score(parsed, on_progress, own)
        return [
            self._follow(request, verdict, logits, states, counter, allow_list, each.stream)
            for request, (verdict, logits), each in zip(parsed, scored, own, strict=True)
        ]

    def encode(self, requests: Sequence[Request]) -> list[RequestLogits]:
        """What the request model says of each request, not calibrated: what the stream model reads and learns from."""
        return [logits for _, logits in self._score(requests, None)]

    def _follow(
        self,
        request: Request,
        verdict: Verdict,
        logits: RequestLogits,
        states: StateStore | None,
        counter: AccountCounter | None,
        allow_list: AllowList | None,
        thresholds: ThresholdPair | None = None,
    ) -> Verdict:
        if self._streams is None or states is None or request.account is None:
            return verdict
        try:
            stream = self._streams.follow(
                self._streams.observe(request, logits),
                request.account,
                request.time_s,
                states=states,
                counter=counter,
                allow_list=allow_list,
                thresholds=thresholds,
            )
        except StoreError as error:
            return replace(verdict, degraded=error.reason)
        return replace(verdict, stream=stream)

    def _score(
        self,
        parsed: Sequence[Request],
        on_progress: Callable[[int], None] | None,
        thresholds: Sequence[Thresholds] | None = None,
    ) -> list[tuple[Verdict, RequestLogits]]:
        windows = [self._windower.cut(request) for request in parsed]
        chosen = [self._select(each) for each in windows]
        logits = compute_logits(self._encoder, chosen, pad_id=self.bundle.manifest.pad_id, on_progress=on_progress)
        pairs = [None] * len(parsed) if thresholds is None else [each.request for each in thresholds]
        judged = map(self._judge, parsed, windows, chosen, logits, pairs)
        return list(zip(judged, logits, strict=True))

    def count_windows(self, requests: Sequence[Request]) -> int:
        """How many windows of the requests the encoder reads: the unit of `on_progress`."""
        return sum(len(self._select(self._windower.cut(request)).ids) for request in requests)

    def _select(self, windows: Windows) -> Selection:
        return select_windows(windows, self._windower, self._cascade)

    def _judge(
        self,
        request: Request,
        windows: Windows,
        chosen: Selection,
        logits: RequestLogits,
        thresholds: ThresholdPair | None,
    ) -> Verdict:
        calibration = self.bundle.calibration.replace_thresholds(thresholds)
        calibrated = calibration.calibrate(logits.extraction)
        techniques = dict(zip(TECHNIQUES, map(float, softmax(logits.techniques)), strict=True))
        action = calibration.decide(calibrated)
        reasons: list[str] = []
        evidence: Evidence | None = None
        top_window = chosen.origins[logits.top_window]
        if action is not Action.ALLOW:
            reasons.append(Reason.FLAG_THRESHOLD if action is Action.FLAG else Reason.REVIEW_THRESHOLD)
            reasons += [Reason(f"technique_{t}") for t, p in techniques.items() if p >= 0.5]
            reasons += name_disguises(windows.traces)
            attributes = [float(logit) for logit in logits.attributes]
            reasons += name_attributes(self.bundle.manifest.attributes, attributes, calibration.attribute_logits)
            place = windows.places[chosen.segments[logits.top_window]]
            evidence = Evidence(top_window, place.turn, place.role)
        return Verdict(
            id=request.id,
            probability=sigmoid(calibrated),
            logit=calibrated,
            techniques={t.value: p for t, p in techniques.items()},
            action=action,
            reasons=tuple(reasons),
            evidence=evidence,
            coverage=Coverage(
                characters=windows.num_characters,
                tokens=windows.num_tokens,
                windows=len(windows.ids),
                windows_encoded=len(chosen.ids),
                top_window=top_window,
                traces=windows.traces,
            ),
            model_version=self.bundle.version,
        )

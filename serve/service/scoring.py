"""The service without HTTP: a scorer behind its queue, with policy, account states, audit and metrics around it.

Accounts are hashed here, before anything keeps them. A verdict is counted and audited in the worker that made it, so
that it is on record even if its caller has gone.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING

from stillwatch.data.errors import ConfigError
from stillwatch.data.records import Request
from stillwatch.model.calibration import Action, Thresholds
from stillwatch.model.verdict import Verdict
from stillwatch.serve.audit import AuditLog
from stillwatch.serve.service.batching import Batcher, Timing
from stillwatch.serve.service.drift import DriftMeter
from stillwatch.serve.service.events import describe_error, tell
from stillwatch.serve.service.generations import GenerationStore
from stillwatch.serve.service.loading import LoadedModel, load_model, warm_up
from stillwatch.serve.service.metrics import Metrics
from stillwatch.serve.service.policy import decide, decide_unscored, used_welcome
from stillwatch.serve.service.reading import ReadRequest
from stillwatch.serve.service.recording import build_record, build_refusal_record
from stillwatch.serve.service.refusals import UNREADABLE, Code, RefusedError
from stillwatch.serve.service.replies import RefusalReply, ScoreReply, build_refusal_reply, build_score_reply
from stillwatch.serve.service.secrecy import ApiKeys, KeyedHasher, load_api_keys, load_hasher
from stillwatch.serve.service.settings import ServeConfig
from stillwatch.serve.service.tenants import NOBODY, AskedRequest, load_allow_list, load_tenants, mark_request
from stillwatch.serve.service.visits import VisitClock
from stillwatch.serve.stores.opening import open_stores
from stillwatch.serve.stores.report import LinkChange

if TYPE_CHECKING:
    from stillwatch.serve.service.tracing import Tracing


class Service:
    """Everything between a parsed request and its reply. Thread-safe.

    Attributes:
        config: the settings.
        metrics: what is counted.
        keys: who may ask; None where nobody is asked. May be replaced at any time.
        is_ready: whether the warm-up is done and no end is near.
        is_draining: whether the end is near; requests are still scored.
        model: what scores; see `swap`.
        tenants: who has thresholds of their own; may be replaced at any time.
        allow_list: whose requests are allowed whatever they are; may be replaced at any time.
        tracing: makes spans of what is done; None where nobody asked for them.
    """

    def __init__(
        self,
        config: ServeConfig,
        model: LoadedModel,
        hasher: KeyedHasher,
        keys: ApiKeys | None,
        tracing: Tracing | None = None,
    ) -> None:
        """Start the workers; see `build_service`."""
        self.config, self.metrics, self.keys, self.tracing = config, Metrics(), keys, tracing
        self.is_draining = False
        self._is_warm = False
        self._hasher, self.model = hasher, model
        self._judged_by = {model.version: (model.thresholds, model.scorer.stream_layout)}
        self._release = version("stillwatch")
        self._stores = stores = open_stores(config.states, _tell_link, hasher.hash_fingerprint)
        audit = config.audit
        self._audit = AuditLog(audit.file, max_bytes=audit.max_bytes) if audit.file is not None else None
        self.tenants, self.allow_list = NOBODY, load_allow_list(None, hasher)
        self._batcher: Batcher[AskedRequest, ScoreReply] = Batcher(
            config.queue, self._score, self._finish, self._report
        )
        self.metrics.tell_build(self._release, model.version, model.runtime.runtime.name)
        self.metrics.watch("queue_requests", "Requests that wait.", lambda: self._batcher.num_waiting)
        self.metrics.watch("queue_tokens", "Estimated tokens that wait.", lambda: self._batcher.num_tokens_waiting)
        self.metrics.watch("accounts", "Accounts with a state in this process.", lambda: stores.num_accounts)
        self.metrics.watch("states_dropped", "States and counts dropped as unreadable.", lambda: stores.num_dropped)
        self.metrics.watch("degraded", "1 while streams are not followed.", lambda: stores.degraded is not None)
        self._drift = DriftMeter(model.version, model.reference)
        self.metrics.watch_drift(lambda: self._drift.measure())
        self.metrics.watch_cache(lambda: self.model.scorer.cache.stats())

    @property
    def degraded(self) -> str | None:
        """Why streams are not followed at present; requests are scored all the same."""
        return self._stores.degraded

    def reload_keys(self) -> None:
        """Read the file of API keys again.

        Raises:
            ConfigError: it cannot be used; those that are known stay.
        """
        if self.config.auth.keys_file is not None:
            self.keys = load_api_keys(self.config.auth.keys_file)

    def reload_tenants(self) -> None:
        """Read the file of tenants again.

        Raises:
            ConfigError: it cannot be used; those that are known stay.
        """
        names = () if self.keys is None else self.keys.digests.keys()
        self.tenants = load_tenants(self.config.policy.tenants_file, names, self.model.scorer)

    def reload_allow_list(self) -> None:
        """Read the file of welcome accounts again.

        Raises:
            ConfigError: it cannot be used; those that are known stay.
        """
        self.allow_list = load_allow_list(self.config.policy.allow_list_file, self._hasher)

    @property
    def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        return self._is_warm and not self.is_draining

    def warm_up(self) -> None:
        """Score invented requests, then be ready."""
        started_s = time.monotonic()
        warm_up(self.model)
        self._is_warm = True
        self.metrics.ready.set(1)
        tell("ready", warm_up_ms=round((time.monotonic() - started_s) * 1000))

    def swap(self, model: LoadedModel) -> bool:
        """Score from now on with another model, which is warm; batches that were begun end with the old one.

        Accounts go on where both models have the same stream layout; else they begin afresh, which is counted, and
        what was kept of them is found again if the old model returns before it expires.

        Args:
            model: loaded, checked and warmed up.

        Returns:
            whether accounts go on.
        """
        before = self.model
        self._judged_by[model.version] = (model.thresholds, model.scorer.stream_layout)
        self._drift = DriftMeter(model.version, model.reference)
        self.model = model
        self.metrics.tell_build(self._release, model.version, model.runtime.runtime.name)
        keeps = before.scorer.stream_layout in (None, model.scorer.stream_layout)
        if not keeps:
            self.metrics.account_resets.inc()
        return keeps

    def start_draining(self) -> None:
        """Say from now on that no more should be sent here."""
        self.is_draining = True
        self.metrics.ready.set(0)

    def close(self) -> None:
        """Answer what waits, stop the workers, and close the audit."""
        self.start_draining()
        self._batcher.close()
        self._stores.close()
        if self._audit is not None:
            self._audit.close()

    def submit(
        self, requests: Sequence[Request], deadline_s: float, key_name: str | None = None
    ) -> list[Future[ScoreReply]]:
        """Queue requests, all or none.

        Args:
            requests: what to score, accounts as they were told.
            deadline_s: by `time.monotonic`.
            key_name: of the API key that they came with.

        Raises:
            RefusedError: not ready, or the queue is full.
        """
        if not self._is_warm:
            raise RefusedError(Code.NOT_READY)
        for part in (part for request in requests if isinstance(request, ReadRequest) for part in request.dropped):
            self.metrics.dropped_parts.labels(part).inc()
        tenants, allow_list, tracing = self.tenants, self.allow_list, self.tracing
        traces = [None] * len(requests) if tracing is None else tracing.begin_requests(len(requests))
        asked = [
            mark_request(request, self._hasher, tenants.find(request.account, key_name), allow_list, trace)
            for request, trace in zip(requests, traces, strict=True)
        ]
        return self._batcher.submit(asked, deadline_s)

    def refuse(self, refused: RefusedError) -> RefusalReply:
        """Count a request without a verdict, and say what to do with it; what could not be read is on record, too."""
        decision = decide_unscored(self.config.policy, refused.code)
        self.metrics.refusals.labels(refused.code, decision.result).inc()
        if self._audit is not None and refused.code in UNREADABLE:
            account = None if refused.account is None else self._hasher.hash_account(refused.account)
            facts = {"mode": self.config.policy.mode, "release": self._release}
            self._record(self._audit, build_refusal_record(uuid.uuid4().hex, account, refused, decision) | facts)
        if self.tracing is not None:
            self.tracing.tell_refusal(refused.code)
        return build_refusal_reply(refused, decision)

    def _score(self, requests: Sequence[AskedRequest]) -> list[Verdict]:
        scorer = self.model.scorer  # one for the whole batch, whatever is swapped meanwhile
        layout = scorer.stream_layout
        states = None if layout is None else GenerationStore(self._stores.states, layout)
        clock = None if self.tracing is None or states is None else VisitClock(states, self._stores.counter)
        with self._resume(requests):
            verdicts = scorer.score_many(
                requests,
                states=clock or states,
                counter=clock or self._stores.counter,
                allow_list=self.allow_list,
                thresholds=[Thresholds() if r.tenant is None else r.tenant.get_thresholds(layout) for r in requests],
            )
        if clock is not None:
            followed = [request.trace for request in requests if request.account is not None]
            for trace, visit in zip(followed, clock.visits, strict=False):
                if trace is not None:
                    trace.visit = visit
        return verdicts

    def _resume(self, requests: Sequence[AskedRequest]) -> AbstractContextManager[None]:
        """Within the call that the requests came with, so that events tell its trace."""
        return nullcontext() if self.tracing is None else self.tracing.resume([each.trace for each in requests])

    def _report(self, error: Exception, requests: Sequence[AskedRequest]) -> None:
        with self._resume(requests):
            tell("scorer_failed", level=logging.ERROR, **describe_error(error))

    def _finish(self, request: AskedRequest, verdict: Verdict, timing: Timing) -> ScoreReply:
        is_welcome = request.note is not None and used_welcome(verdict)
        decision = decide(self.config.policy, verdict, is_welcome=is_welcome)
        verdict_id = uuid.uuid4().hex
        metrics = self.metrics
        metrics.decisions.labels("allow_listed" if is_welcome else decision.result).inc()
        metrics.queue_seconds.observe(timing.queue_s)
        metrics.scoring_seconds.observe(timing.scoring_s)
        metrics.batch_requests.observe(timing.batch_requests)
        self._drift.add(verdict)
        if self.tracing is not None and request.trace is not None:
            self.tracing.record(request.trace, verdict, decision, timing)
        if timing.is_late:
            metrics.late.inc()
        if verdict.degraded is not None:
            metrics.degraded.labels(verdict.degraded).inc()
        is_plain = verdict.action is Action.ALLOW and (verdict.stream is None or verdict.stream.action is Action.ALLOW)
        if self._audit is not None and (is_welcome or not is_plain):
            with self._resume([request]):
                bundled, layout = self._judged_by[verdict.model_version]
                own = {} if request.tenant is None else request.tenant.list_thresholds(layout)
                facts = {"mode": self.config.policy.mode, "late": timing.is_late, "release": self._release}
                self._record(
                    self._audit, build_record(verdict_id, request, verdict, decision, {**bundled, **own}) | facts
                )
        tenant = None if request.tenant is None else request.tenant.name
        return build_score_reply(verdict_id, verdict, decision, timing, allow_listed=is_welcome, tenant=tenant)

    def _record(self, audit: AuditLog, record: dict[str, object]) -> None:
        try:
            audit.append(record)
        except OSError as error:  # a full disk must not take the gateway down; it is counted, and told
            self.metrics.audit_errors.inc()
            tell("audit_failed", level=logging.ERROR, **describe_error(error))
        else:
            self.metrics.audit_records.inc()


def build_service(config: ServeConfig, tracing: Tracing | None = None) -> Service:
    """Load bundle, keys and audit, and start the workers.

    Args:
        config: the settings.
        tracing: makes spans of what is done; whoever made it ends it.

    Raises:
        BundleError: the bundle cannot be used.
        ConfigError: a file of keys cannot be used, or the store of states lacks an address or the accounts their key.
        SourceError: the audit cannot be opened.
    """
    hasher = load_hasher(config.accounts.key_file)
    if not hasher.is_lasting:
        tell("account_key_is_random", level=logging.WARNING, remedy="set accounts.key_file or STILLWATCH_ACCOUNT_KEY")
    if config.states.store != "memory" and not hasher.is_lasting:
        raise ConfigError(
            "states.store: replicas need one account key; set accounts.key_file or STILLWATCH_ACCOUNT_KEY"
        )
    keys = None if config.auth.keys_file is None else load_api_keys(config.auth.keys_file)
    if config.audit.file is not None and not config.audit.file.parent.is_dir():
        raise ConfigError(f"audit.file: {config.audit.file.parent}: no such folder; make it")
    model, policy = load_model(config), config.policy
    tenants = load_tenants(policy.tenants_file, () if keys is None else keys.digests.keys(), model.scorer)
    allow_list = load_allow_list(policy.allow_list_file, hasher)
    service = Service(config, model, hasher, keys, tracing)
    service.tenants, service.allow_list = tenants, allow_list
    return service


def _tell_link(change: LinkChange) -> None:
    if change.is_away:
        tell("state_store_away", level=logging.WARNING, error=change.error, meanwhile="requests without streams")
    else:
        tell("state_store_back", away_s=round(change.away_s, 3))

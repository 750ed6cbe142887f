"""Rules for some callers: accounts that are welcome whatever they send, and tenants with thresholds of their own.

Both are YAML files of the operator's, read at the start and again whenever they change. No error quotes an account.

    tenants:
      - name: acme
        api_keys: [acme-gateway]            # names of auth.keys_file
        account_prefixes: ["acme/"]         # of accounts as callers tell them
        request: {review_logit: 4.0, flag_logit: 6.5}
        calibrated: bundles/acme            # what `stillwatch calibrate --out` wrote: its stream thresholds

    accounts:
      - account: evals/red-team             # or account_hash: 32 digits, as the audit has them
        note: asked for by the evaluation team on 2026-11-02
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from stillwatch.data.configuration import Config, load_config_file
from stillwatch.data.errors import BundleError, ConfigError
from stillwatch.data.records import Request
from stillwatch.model.bundle import STREAM_ONNX, load_bundle
from stillwatch.model.calibration import ThresholdPair, Thresholds
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.allow_list import AllowList, hash_account
from stillwatch.model.streams.detector import StreamDetector
from stillwatch.serve.service.secrecy import KeyedHasher

if TYPE_CHECKING:
    from stillwatch.serve.service.tracing import RequestTrace

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class ThresholdsConfig(Config):
    """Two thresholds on a logit."""

    review_logit: Annotated[float, Field(allow_inf_nan=False)]
    """From which on something is for review."""
    flag_logit: Annotated[float, Field(allow_inf_nan=False)]
    """From which on it is flagged."""

    @model_validator(mode="after")
    def _flag_is_stricter(self) -> ThresholdsConfig:
        if self.flag_logit < self.review_logit:
            raise ValueError("flag_logit must not be below review_logit")
        return self


class TenantConfig(Config):
    """Callers that share thresholds."""

    name: Name
    """What audit and replies call them; no secret."""
    api_keys: tuple[Name, ...] = ()
    """Names of their keys in `auth.keys_file`."""
    account_prefixes: tuple[Text, ...] = ()
    """How their accounts begin; the longest that fits decides, after the key."""
    request: ThresholdsConfig | None = None
    """On the calibrated logit of a request; the bundle's when left out."""
    stream: ThresholdsConfig | None = None
    """On the stream logit of an account; the bundle's when left out. A retrained bundle has another scale."""
    calibrated: Path | None = None
    """Folder of a bundle of `stillwatch calibrate` on this tenant's traffic: its stream thresholds, with their promise.
    They hold for its network alone: under a bundle with another one, the thresholds of that bundle are in force."""

    @model_validator(mode="after")
    def _says_whom_and_what(self) -> TenantConfig:
        if not self.api_keys and not self.account_prefixes:
            raise ValueError("api_keys and account_prefixes are missing; name who belongs to this tenant")
        if self.stream is not None and self.calibrated is not None:
            raise ValueError("stream and calibrated both set the stream thresholds; keep one")
        if self.request is None and self.stream is None and self.calibrated is None:
            raise ValueError("no thresholds; set request, stream or calibrated")
        return self


class TenantsConfig(Config):
    """The file of `policy.tenants_file`."""

    tenants: tuple[TenantConfig, ...]
    """Names, keys and prefixes each stand once in the file."""


class AllowedConfig(Config):
    """An account that is welcome."""

    account: Text | None = None
    """As callers tell it."""
    account_hash: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None
    """As the audit has it, in place of `account`."""
    note: Annotated[str, Field(pattern=r"\S", max_length=500)]
    """Who vouches for it and since when; stands in the audit of whatever it let pass, so name no account in it."""

    @model_validator(mode="after")
    def _names_one(self) -> AllowedConfig:
        if (self.account is None) == (self.account_hash is None):
            raise ValueError("give either account or account_hash")
        return self


class AllowListConfig(Config):
    """The file of `policy.allow_list_file`."""

    accounts: tuple[AllowedConfig, ...]
    """May be empty."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose thresholds a request is judged by; `stream_layout` is the network that those of the stream belong to."""

    name: str
    request: ThresholdPair | None
    stream: ThresholdPair | None
    stream_layout: str | None

    def get_thresholds(self, stream_layout: str | None) -> Thresholds:
        """What stands in for the thresholds of a bundle with this stream layout."""
        return Thresholds(self.request, self.stream if self.stream_layout in (None, stream_layout) else None)

    def list_thresholds(self, stream_layout: str | None) -> dict[str, float]:
        """The same by the names under which the audit has them."""
        own = self.get_thresholds(stream_layout)
        request = {} if own.request is None else asdict(own.request)
        stream = {} if own.stream is None else asdict(own.stream)
        return request | {f"stream_{name}": value for name, value in stream.items()}


@dataclass(frozen=True, slots=True)
class Tenants:
    """Tenants by API key and by beginning of the account, the longest first."""

    by_key: dict[str, Tenant]
    by_prefix: tuple[tuple[str, Tenant], ...]

    def find(self, account: str | None, key_name: str | None) -> Tenant | None:
        """Whose a request is; None for nobody's.

        Args:
            account: as the caller told it.
            key_name: of the API key that it came with.
        """
        if key_name in self.by_key:
            return self.by_key[key_name]
        if account is None:
            return None
        return next((tenant for prefix, tenant in self.by_prefix if account.startswith(prefix)), None)

    def count_unfit(self, stream_layout: str | None) -> int:
        """Tenants whose stream thresholds are not in force under a bundle of this layout."""
        tenants = {tenant.name: tenant for tenant in (*self.by_key.values(), *(each for _, each in self.by_prefix))}
        return sum(tenant.stream_layout not in (None, stream_layout) for tenant in tenants.values())


NOBODY = Tenants({}, ())


@dataclass(frozen=True, slots=True)
class AskedRequest(Request):
    """A request with hashed names.

    Attributes:
        tenant: whose it is.
        note: of the allow-list, where its account is on it.
        trace: of its call, where that has spans.
    """

    tenant: Tenant | None = None
    note: str | None = None
    trace: RequestTrace | None = None


def mark_request(
    request: Request,
    hasher: KeyedHasher,
    tenant: Tenant | None,
    allow_list: AllowList,
    trace: RequestTrace | None = None,
) -> AskedRequest:
    """Hide the names of a request, and look them up in the allow-list."""
    parts = {field.name: getattr(request, field.name) for field in fields(Request)}
    account = None if request.account is None else hasher.hash_account(request.account)
    note = None if account is None else allow_list.find(account)
    hidden = None if request.id is None else hasher.hash_request_id(request.id)
    return replace(AskedRequest(**parts, tenant=tenant, note=note, trace=trace), account=account, id=hidden)


def load_tenants(path: Path | None, key_names: Collection[str], scorer: Scorer) -> Tenants:
    """Read the file of tenants; None is nobody.

    Args:
        path: the file.
        key_names: those of `auth.keys_file`.
        scorer: what thresholds of `calibrated` must belong to.

    Raises:
        ConfigError: the file or an entry of it cannot be used; which, and what to do.
    """
    if path is None:
        return NOBODY
    by_key: dict[str, Tenant] = {}
    by_prefix: dict[str, Tenant] = {}
    names: set[str] = set()
    for number, config in enumerate(load_config_file(TenantsConfig, path).tenants):
        where = f"{path}: tenants.{number}"
        if config.name in names:
            raise ConfigError(f"{where}.name: stands twice; give each tenant a name of its own")
        names.add(config.name)
        tenant = _build_tenant(config, where, scorer)
        for place, key in enumerate(config.api_keys):
            if key not in key_names:
                raise ConfigError(f"{where}.api_keys.{place}: no such name in auth.keys_file; add the key, or mend it")
            if key in by_key:
                raise ConfigError(f"{where}.api_keys.{place}: stands twice; a key belongs to one tenant")
            by_key[key] = tenant
        for place, prefix in enumerate(config.account_prefixes):
            if prefix in by_prefix:
                raise ConfigError(f"{where}.account_prefixes.{place}: stands twice; it belongs to one tenant")
            by_prefix[prefix] = tenant
    return Tenants(by_key, tuple(sorted(by_prefix.items(), key=lambda item: -len(item[0]))))


def _build_tenant(config: TenantConfig, where: str, scorer: Scorer) -> Tenant:
    request = None if config.request is None else _pair(config.request)
    stream = None if config.stream is None else _pair(config.stream)
    if config.calibrated is None:
        return Tenant(config.name, request, stream, None)
    try:
        bundle = load_bundle(config.calibrated)
        model = StreamDetector.load(bundle.folder).model
    except BundleError as error:
        raise ConfigError(f"{where}.calibrated: {error}") from error
    layout, calibration = model.digest_layout(bundle.manifest.files[STREAM_ONNX]), model.calibration
    if layout != scorer.stream_layout:
        raise ConfigError(
            f"{where}.calibrated: its stream model is not that of the served bundle; calibrate the served one again"
        )
    return Tenant(config.name, request, ThresholdPair(calibration.review_logit, calibration.flag_logit), layout)


def _pair(config: ThresholdsConfig) -> ThresholdPair:
    return ThresholdPair(config.review_logit, config.flag_logit)


def load_allow_list(path: Path | None, hasher: KeyedHasher) -> AllowList:
    """Read the file of welcome accounts; None is an empty list.

    Args:
        path: the file.
        hasher: makes the hashes under which accounts are known here.

    Raises:
        ConfigError: the file or an entry cannot be used.
    """
    key = secrets.token_bytes(32)
    notes: dict[str, str] = {}
    for number, entry in enumerate(() if path is None else load_config_file(AllowListConfig, path).accounts):
        where = f"{path}: accounts.{number}"
        if entry.account_hash is not None and not hasher.is_lasting:
            raise ConfigError(
                f"{where}.account_hash: this process has a random key; set accounts.key_file, or name the account"
            )
        account = entry.account_hash or hasher.hash_account(entry.account or "")
        if hash_account(account, key) in notes:
            raise ConfigError(f"{where}: stands twice; keep one entry an account")
        notes[hash_account(account, key)] = entry.note
    return AllowList(key, notes)

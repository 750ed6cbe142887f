"""The typed settings of `stillwatch serve`, read from one YAML file; `configs/serve.yaml` shows every key.

A wrong key or value is refused before anything is bound. Secrets are never in it: it names the files that hold them.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stillwatch.data.configuration import Config
from stillwatch.data.limits import DEFAULT_LIMITS
from stillwatch.model.cache import DEFAULT_CACHE_BYTES
from stillwatch.model.runtime_choice import RuntimeSetting

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]
LiteLLMAccount = Literal["key", "user", "team", "org", "end_user"]


class ListenConfig(Config):
    """Where the service listens and how it stops."""

    host: str = "127.0.0.1"
    """Address or name to bind. Anything but loopback is refused without `auth.keys_file`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8011
    """TCP port; 0 takes a free one, which the event `listening` tells."""
    keep_alive_s: Annotated[int, Field(ge=1, le=3600)] = 75
    """Seconds that an idle connection stays open."""
    drain_delay_s: Annotated[float, Field(ge=0.0, le=600.0)] = 2.0
    """After SIGTERM, seconds in which `/readyz` says no and every reply closes its connection, while requests are still
    scored: time for a load balancer to look elsewhere. Then nothing new is accepted."""
    drain_timeout_s: Annotated[int, Field(ge=1, le=600)] = 30
    """Seconds that accepted requests have to finish after that."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach `host`."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class AuthConfig(Config):
    """Who may ask."""

    keys_file: Path | None = None
    """File of hashed API keys, a line each, made by `stillwatch serve --new-key NAME`. With it, `/v1/...` and
    `/metrics` need `Authorization: Bearer KEY`; without it, nobody is asked and only loopback can be bound. It is read
    again when it changes: a line that is gone lets nobody in any more."""


class QueueConfig(Config):
    """What stands between the requests and the scorer."""

    num_workers: Annotated[int, Field(ge=1, le=256)] = 2
    """Threads that score; as many as there are cores to give."""
    threads_per_worker: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of the runtime inside one call."""
    runtime: RuntimeSetting = "auto"
    """What runs the network. `auto`: where OpenVINO is installed, it is compared with onnxruntime when a bundle loads,
    which takes some seconds, and taken if it computes the same and is faster; the event `runtime` tells. `onnxruntime`
    and `openvino` force one."""
    cache_bytes: Annotated[int, Field(ge=0)] = DEFAULT_CACHE_BYTES
    """Memory for what was computed lately, so that a growing conversation is encoded once; 0 for none."""
    max_requests: Count = 256
    """Requests that wait at most; more are refused at once with 429."""
    max_tokens: Count = 200_000
    """Tokens that wait at most, estimated as a quarter of the characters. A lone larger request is let in."""
    batch_tokens: Count = 512
    """Estimated tokens that a worker takes at once. All of a batch are answered together, and onnxruntime reads one
    window a call: more saves little and makes the first wait for the last."""
    deadline_ms: Annotated[int, Field(ge=1, le=600_000)] = 1000
    """Milliseconds in which a request must be answered; then `policy.on_failure` decides. The header
    `X-Stillwatch-Deadline-Ms` shortens it. Envoy's ext_proc stops waiting at 200: set 150 behind it. A request that
    would wait longer than that is refused at once."""
    least_deadline_ms: Annotated[int, Field(ge=1, le=600_000)] = 100
    """Milliseconds below which the header cannot shorten it: a client whose header reaches the service must not be able
    to have itself refused. Strip clients' own `X-Stillwatch-...` headers at the gateway all the same."""


class PolicyConfig(Config):
    """What a verdict means to the gateway."""

    mode: Literal["shadow", "review", "block"] = "shadow"
    """`shadow`: replies and counts say what would be done, nothing is. `review`: `review` and `flag` are both marked
    for review, nothing is blocked. `block`: `flag` blocks."""
    on_failure: Literal["open", "closed"] | None = None
    """What happens to a request that was not scored: time-out, full queue, failed scorer, start and stop. `open` lets
    it pass, `closed` blocks it. It must be told for mode `block`; others never block."""
    on_unreadable: Literal["open", "closed"] | None = None
    """What happens to a body that cannot be read: too large, too slow, of another type, or no request. Left out, mode
    `block` blocks it: a client chooses its body, so with `open` it can choose to pass unscored. Set
    `limits.max_body_bytes` to what your API takes, so that no honest body is too large."""
    allow_list_file: Path | None = None
    """YAML of accounts that are welcome, such as evaluators; see serve/service/tenants.py. What they send is scored and
    followed, but always allowed; each time that this changes a decision is in the audit."""
    tenants_file: Path | None = None
    """YAML of tenants with thresholds of their own, by API key or by beginning of the account; see there."""

    @model_validator(mode="after")
    def _says_what_fails(self) -> PolicyConfig:
        if self.mode == "block" and self.on_failure is None:
            raise ValueError("on_failure is missing: say open or closed where requests are blocked")
        for name in ("on_failure", "on_unreadable"):
            if self.mode != "block" and getattr(self, name) == "closed":
                raise ValueError(f"{name}: mode {self.mode} blocks nothing, so it cannot be closed; use mode block")
        return self


class AccountsConfig(Config):
    """Whose stream a request belongs to."""

    key_file: Path | None = None
    """File with the secret key of the hashes under which accounts are stored and logged, 16 bytes or more. Left out,
    the environment variable STILLWATCH_ACCOUNT_KEY; without that a random key, and hashes differ after a restart."""
    from_body: bool = False
    """Take the account from the body (`account`, `user`, `metadata.user_id`) where neither header nor wrapper tells it.
    Clients write bodies: they could pose as others or change their name with every request."""
    litellm: LiteLLMAccount = "key"
    """Which of the names that LiteLLM tells is the account. `key` is the virtual key; `user` joins all keys of a user,
    but everybody on the master key is one; `end_user` is for one key that serves many, told apart by a name that
    clients write: it counts within its key alone."""


class RedisConfig(Config):
    """The Redis or Valkey server that replicas share."""

    url_file: Path | None = None
    """File with its address: redis://USER:PASSWORD@HOST:6379/0, rediss:// with TLS, unix:// for a socket. Left out, the
    environment variable STILLWATCH_REDIS_URL. An address may hold a password: it is never in settings or log."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "stillwatch"
    """How all keys begin; one for each group of replicas that share a server but no accounts."""
    timeout_ms: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Milliseconds for connecting, and for each answer. After three failures in a row nobody waits any more: requests
    are scored without their streams and marked `degraded`, until the server is found back."""


class StatesConfig(Config):
    """Where the streams of accounts are remembered."""

    store: Literal["memory", "redis"] = "memory"
    """`memory`: in this process, lost when it ends; replicas do not share it. `redis`: on a server that replicas share;
    all of them need the same account key."""
    max_accounts: Count = 100_000
    """States kept in memory, at most 4 KiB each; the longest unseen go first. A server is bounded by its own
    `maxmemory`, with a policy that evicts, such as `volatile-lru`."""
    expire_after_s: Annotated[float, Field(gt=0.0, le=3.15e9)] = 30 * 86_400.0
    """Seconds unseen after which a state is dropped."""
    redis: RedisConfig = RedisConfig()


class AuditConfig(Config):
    """The record of every verdict beyond `allow`."""

    file: Path | None = None
    """JSON lines, appended to; no audit where left out. Beside it stand the full ones, with a time in their names."""
    max_bytes: Annotated[int, Field(ge=10_000)] = 64 * 2**20
    """Size at which the file is put aside and a new one begun. None is ever deleted: archive them."""


class ReloadConfig(Config):
    """How changes of the bundle, the keys and the policy's files are taken while the service runs."""

    poll_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 5.0
    """Seconds between two looks at them; a change that stood still for two looks is taken. SIGHUP has all looked at
    at once; 0 leaves it at that."""


class RequestLimitsConfig(Config):
    """How large what comes may be."""

    max_body_bytes: Count = 8 * 2**20
    """Bytes of a body; more is refused with 413 before it is read."""
    max_characters: Annotated[int, Field(ge=1, le=DEFAULT_LIMITS.max_characters)] = DEFAULT_LIMITS.max_characters
    """Characters of text in a request."""
    max_json_depth: Annotated[int, Field(ge=4, le=200)] = 80
    """Levels of nested JSON; of what is nested deeper only the text is read."""
    max_batch_requests: Annotated[int, Field(ge=1, le=1000)] = 64
    """Requests of one call of `/v1/score/batch`."""
    max_in_flight: Count = 512
    """Calls being answered at once, their bodies here; more are refused with 429."""
    max_bytes_in_flight: Count = 64 * 2**20
    """Bytes of large bodies (64 KiB or more) held at once, from the first one to the answer; each takes up to thirty
    times as much while it is parsed. Where there is no room, the one that has been arriving for longest gives way."""
    body_timeout_s: Seconds = 10.0
    """Seconds that a body may take to arrive."""

    @model_validator(mode="after")
    def _has_room_for_one(self) -> RequestLimitsConfig:
        if self.max_bytes_in_flight < self.max_body_bytes:
            raise ValueError("max_bytes_in_flight is below max_body_bytes; the largest body would never fit")
        return self


class ServeConfig(Config):
    """All settings of the service."""

    bundle: Path | None = None
    """Bundle folder, or a link to one; the one that ships with the package when left out. A new bundle there is taken
    while the service runs, once it is loaded, checked and warm; a bad one is refused and the old one goes on."""
    listen: ListenConfig = ListenConfig()
    auth: AuthConfig = AuthConfig()
    queue: QueueConfig = QueueConfig()
    policy: PolicyConfig = PolicyConfig()
    accounts: AccountsConfig = AccountsConfig()
    states: StatesConfig = StatesConfig()
    audit: AuditConfig = AuditConfig()
    reload: ReloadConfig = ReloadConfig()
    limits: RequestLimitsConfig = RequestLimitsConfig()

    @model_validator(mode="after")
    def _is_safe(self) -> ServeConfig:
        if not self.listen.is_loopback and self.auth.keys_file is None:
            raise ValueError("listen.host is not loopback; set auth.keys_file, so that not everybody may ask")
        if self.queue.max_requests < self.limits.max_batch_requests:
            raise ValueError("queue.max_requests is below limits.max_batch_requests; a full batch would never fit")
        return self

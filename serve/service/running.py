"""Runs the app under uvicorn on one socket, and ends it without losing what was accepted.

On SIGTERM or SIGINT: `/readyz` says no and replies close their connections, but everything is still scored, for
`drain_delay_s`; then nothing new is accepted and what was accepted is finished. A second signal skips the delay.
On SIGHUP the bundle, the keys and the policy's files are looked at; see `reloading.py`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stillwatch.data.errors import ConfigError
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.closing import accept_all, refuse_handshakes
from stillwatch.serve.service.events import tell
from stillwatch.serve.service.exporting import open_tracing
from stillwatch.serve.service.loading import find_bundle, is_serving, load_model, sign_folder, warm_up
from stillwatch.serve.service.reloading import Watched, Watcher, sign_file
from stillwatch.serve.service.scoring import Service, build_service
from stillwatch.serve.service.settings import ListenConfig, ServeConfig

_MAX_HEADER_BYTES = 32 * 1024
_LAST_HANDSHAKES_S = 0.05  # for those under way: a round trip to a load balancer, with room
_LAST_CALLS_S = 0.2  # for calls on connections that were accepted in the last moment


class DrainingServer(uvicorn.Server):
    """A uvicorn server that first lets load balancers look elsewhere."""

    def __init__(self, config: uvicorn.Config, service: Service, delay_s: float) -> None:
        """Wrap the server of a service."""
        super().__init__(config)
        self._service, self._delay_s = service, delay_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; called by the signal."""
        if self._service.is_draining or self._delay_s == 0:
            self.should_exit = True
            return
        self._service.start_draining()
        timer = threading.Timer(self._delay_s, self._stop)
        timer.daemon = True
        timer.start()

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody else in, answer the calls that are on their way, then end as uvicorn does.

        uvicorn alone cuts connections that are established but not yet accepted, or whose call it has not read yet.
        """
        self._service.start_draining()  # without a delay, too: each reply is its connection's last
        listeners = sockets or []
        refused = [refuse_handshakes(listener) for listener in listeners]
        if any(refused):
            await asyncio.sleep(_LAST_HANDSHAKES_S)  # the loop still accepts
        last = [connection for listener in listeners for connection in accept_all(listener)]
        for server in self.servers:
            server.close()
        for connection in last:
            await asyncio.get_running_loop().connect_accepted_socket(self._build_protocol, connection)
        await asyncio.sleep(_LAST_CALLS_S)
        await super().shutdown(sockets)

    def _build_protocol(self) -> asyncio.Protocol:
        kind = cast("type[H11Protocol]", self.config.http_protocol_class)
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def run_service(settings: ServeConfig) -> None:
    """Serve until a signal ends it.

    Raises:
        StillwatchError: the address cannot be bound, or `build_service` failed.
    """
    with bind_socket(settings.listen) as listener, open_tracing() as tracing:
        service = build_service(settings, tracing)
        watcher = Watcher(list_watched(service), service.metrics, poll_s=settings.reload.poll_s)
        signal.signal(signal.SIGHUP, lambda _signal, _frame: watcher.ask())
        try:
            _serve(service, listener)
        finally:
            watcher.close()
            service.close()
    tell("stopped")


def list_watched(service: Service) -> list[Watched]:
    """What a service looks after while it runs."""
    policy, keys_file = service.config.policy, service.config.auth.keys_file
    watched = [watch_bundle(service)]
    if keys_file is not None:
        watched.append(watch_files("keys", [keys_file], service.reload_keys))
    if policy.tenants_file is not None:  # after the keys, whose names it uses
        used = [policy.tenants_file] if keys_file is None else [policy.tenants_file, keys_file]
        watched.append(watch_files("tenants", used, service.reload_tenants))
    if policy.allow_list_file is not None:
        watched.append(watch_files("allow_list", [policy.allow_list_file], service.reload_allow_list))
    return watched


def watch_files(name: str, paths: Sequence[Path], reload: Callable[[], None]) -> Watched:
    """Something of the policy: read again when one of its files changes."""

    def take() -> dict[str, str]:
        reload()
        return {}

    return Watched(name, lambda: " ".join(map(sign_file, paths)), take)


def watch_bundle(service: Service) -> Watched:
    """The service's bundle: a new one is loaded, checked and warmed up while the old one serves."""
    folder = find_bundle(service.config)

    def take() -> dict[str, str] | None:
        if is_serving(service.model, folder):
            return None
        model = load_model(service.config)
        warm_up(model)
        before = service.model.version
        keeps = service.swap(model)
        if num_unfit := service.tenants.count_unfit(model.scorer.stream_layout):
            tell("tenants_on_thresholds_of_the_bundle", level=logging.WARNING, num_tenants=num_unfit)
        return {"before": before, "model_version": model.version, "accounts": "go_on" if keeps else "begin_afresh"}

    return Watched("bundle", lambda: sign_folder(folder), take)


def _serve(service: Service, listener: socket.socket) -> None:
    settings = service.config
    config = settings.listen
    uvicorn_config = uvicorn.Config(
        build_app(service),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_keep_alive=config.keep_alive_s,
        timeout_graceful_shutdown=config.drain_timeout_s,
    )
    host, port = listener.getsockname()[:2]
    tell(
        "listening",
        host=host,
        port=port,
        mode=settings.policy.mode,
        on_failure=settings.policy.on_failure or "open",
        needs_key=service.keys is not None,
        audits=settings.audit.file is not None,
    )
    DrainingServer(uvicorn_config, service, config.drain_delay_s).run(sockets=[listener])


def bind_socket(config: ListenConfig) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigError: the name is unknown, the port is taken, or may not be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        bound = socket.create_server(address[:2], family=family, backlog=2048)
        # Anew from its number, the socket knows that it is TCP; else asyncio leaves Nagle's algorithm on, and every
        # reply on a kept connection waits 40 ms for the caller to acknowledge its head.
        return socket.socket(fileno=bound.detach())
    except OSError as error:
        raise ConfigError(
            f"listen: {config.host}:{config.port} cannot be bound ({error.strerror}); name another host or port"
        ) from error

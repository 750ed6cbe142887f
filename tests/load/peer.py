"""What the service is measured against: the same bundle behind FastAPI, one request at a time.

A handler holds a lock while it scores with one thread and without a cache of encodings; accounts are followed, too.
It does without a queue, deadlines, policy, audit and metrics. It says where it listens and when it is ready by the
same events as `stillwatch serve`.
"""

from __future__ import annotations

import sys
import time
from threading import Lock
from typing import Annotated, Any, get_args

import uvicorn
from fastapi import FastAPI, Header

from stillwatch.model.bundle import DEFAULT_BUNDLE, load_bundle
from stillwatch.model.runtime_choice import RuntimeSetting, open_runtime
from stillwatch.model.scorer import Scorer
from stillwatch.model.streams.accounts import MemoryAccountCounter
from stillwatch.model.streams.store import MemoryStateStore
from stillwatch.serve.service.events import configure_log, tell
from stillwatch.serve.service.running import bind_socket
from stillwatch.serve.service.settings import ListenConfig


def build_peer(scorer: Scorer) -> FastAPI:
    """The app around a scorer."""
    app, turn = FastAPI(), Lock()
    states, counter = MemoryStateStore(), MemoryAccountCounter()

    @app.post("/v1/score")
    def score(body: dict[str, Any], x_stillwatch_account: Annotated[str, Header()]) -> dict[str, Any]:
        with turn:
            return scorer.score(
                body, account=x_stillwatch_account, time_s=time.time(), states=states, counter=counter
            ).to_dict()

    return app


def main() -> None:
    """Serve on a free port of loopback until a signal, with the runtime that the command line names."""
    configure_log()
    bundle = load_bundle(DEFAULT_BUNDLE)
    setting: RuntimeSetting = next(name for name in get_args(RuntimeSetting) if name == sys.argv[1])
    choice = open_runtime(bundle, setting)
    scorer = Scorer(bundle, choice.runtime, cache_bytes=0)
    scorer.score({"messages": [{"role": "user", "content": "Which plants like shade?"}]})
    with bind_socket(ListenConfig(port=0)) as listener:
        tell("runtime", name=choice.runtime.name, reason=choice.reason)
        tell("listening", port=listener.getsockname()[1])
        tell("ready")
        config = uvicorn.Config(build_peer(scorer), log_config=None, access_log=False, timeout_keep_alive=75)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

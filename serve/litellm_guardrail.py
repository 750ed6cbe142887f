"""A guardrail inside LiteLLM's proxy: the service without HTTP, in the proxy's process. Needs the extra `litellm`.

LiteLLM loads it by name, `guardrail: stillwatch.serve.litellm_guardrail.StillwatchGuardrail`;
`configs/litellm_inside.yaml` shows the rest. Requests are scored by threads behind a bounded queue, so the proxy's
event loop waits for none of them, and for each only until `queue.deadline_ms`; what has no verdict by then passes or
not by `policy.on_failure`.

States of accounts live in this process: of several proxy workers each sees its share of a stream, and a restart
forgets them. Where that matters, run `stillwatch serve` and use the HTTP guardrail. Metrics are those of the service,
on LiteLLM's own `/metrics` where its `prometheus` callback is on.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Mapping
from typing import Any, Literal

from litellm.exceptions import GuardrailRaisedException
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.types.guardrails import GuardrailEventHooks
from litellm.types.utils import GenericGuardrailAPIInputs, GuardrailStatus

from stillwatch.data.configuration import parse_config
from stillwatch.data.errors import ConfigError
from stillwatch.serve.guardrail_metrics import SHOWN
from stillwatch.serve.service.calls import run_by_size, wait_for_reply
from stillwatch.serve.service.guardrail_api import read_named_call
from stillwatch.serve.service.refusals import RefusedError
from stillwatch.serve.service.replies import RefusalReply, ScoreReply, explain_block
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.settings import ServeConfig

_HTTP_ONLY = frozenset({"listen", "auth", "reload"})
_OPTIONS = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "response_format", "output_config")


class StillwatchGuardrail(CustomGuardrail):
    """Scores every request before, or while, the model answers it; answers of models are passed on unread."""

    records_own_guardrail_information = True

    def __init__(self, *, guardrail_name: str, stillwatch: Mapping[str, object] | None = None, **options: Any) -> None:
        """Load the bundle and warm it up, which takes a second or two; LiteLLM does this before it serves.

        Args:
            guardrail_name: as LiteLLM's configuration names it.
            stillwatch: settings, by the keys of `configs/serve.yaml`; all have defaults.
            options: what LiteLLM gives every guardrail, such as `event_hook` and `default_on`.

        Raises:
            StillwatchError: the settings or the bundle cannot be used.
        """
        hooks = [GuardrailEventHooks.pre_call, GuardrailEventHooks.during_call]
        super().__init__(guardrail_name=guardrail_name, supported_event_hooks=hooks, **options)
        given = {} if stillwatch is None else dict(stillwatch)
        if unused := sorted(_HTTP_ONLY & given.keys()):
            raise ConfigError(f"stillwatch.{unused[0]}: inside LiteLLM nothing listens or reloads; leave it out")
        self._service = build_service(parse_config(ServeConfig, given, "stillwatch", ()))
        atexit.register(self._service.close)
        self._service.warm_up()
        SHOWN.show(guardrail_name, self._service.metrics)

    async def apply_guardrail(
        self,
        inputs: GenericGuardrailAPIInputs,
        request_data: dict[str, Any],
        input_type: Literal["request", "response"],
        logging_obj: object = None,
    ) -> GenericGuardrailAPIInputs:
        """Called by LiteLLM: the inputs unchanged.

        Raises:
            GuardrailRaisedException: the request must not pass.
        """
        started_s = time.time()
        num_characters = sum(len(text) for text in inputs.get("texts") or ())
        reply = await self._ask({**inputs, "input_type": input_type}, request_data, num_characters)
        if reply is None:
            return inputs
        self._tell(reply, request_data, started_s)
        if reply.block:
            raise GuardrailRaisedException(
                guardrail_name=self.guardrail_name,
                message=explain_block(reply),
                should_wrap_with_default_message=False,
                blocked_content=isinstance(reply, ScoreReply),
            )
        return inputs

    async def _ask(
        self, call: dict[str, object], request_data: Mapping[str, Any], num_characters: int
    ) -> ScoreReply | RefusalReply | None:
        service, config = self._service, self._service.config
        deadline_s = time.monotonic() + config.queue.deadline_ms / 1000
        call["request_data"] = _find_names(request_data)
        call["litellm_call_id"] = request_data.get("litellm_call_id")
        options = {name: request_data[name] for name in _OPTIONS if name in request_data}
        try:
            request = await run_by_size(
                num_characters,
                lambda: read_named_call(call, config.limits, config.accounts.litellm, options=options),
            )
            if request is None:
                return None
            (future,) = service.submit([request], deadline_s)
            return await wait_for_reply(future, deadline_s)
        except RefusedError as error:
            return service.refuse(error)

    def _tell(self, reply: ScoreReply | RefusalReply, request_data: dict[str, Any], started_s: float) -> None:
        """Leave in LiteLLM's own logs what was decided; no text."""
        ended_s = time.time()
        status: GuardrailStatus = "guardrail_intervened" if reply.block else "success"
        told: dict[str, object] = {"action": reply.action, "enforced": reply.enforced, "block": reply.block}
        if isinstance(reply, ScoreReply):
            told |= {"verdict": reply.id, "reasons": reply.request.reasons, "model_version": reply.model_version}
            if reply.stream is not None:
                told["stream_reasons"] = reply.stream.reasons
            if reply.action != "allow" and not reply.block:
                status = "guardrail_flagged"
        else:
            told["error"] = reply.error.code
            status = "guardrail_failed_to_respond"
        self.add_standard_logging_guardrail_information_to_request_data(
            guardrail_json_response=told,
            request_data=request_data,
            guardrail_status=status,
            guardrail_provider="stillwatch",
            start_time=started_s,
            end_time=ended_s,
            duration=ended_s - started_s,
        )


def _find_names(request_data: Mapping[str, Any]) -> dict[str, object]:
    """What LiteLLM tells of who asks, under the names of its Generic Guardrail API.

    LiteLLM writes it into `metadata` or `litellm_metadata`, by route, after it has thrown out what a client wrote.
    """
    found: dict[str, object] = {}
    for place in ("metadata", "litellm_metadata"):
        names = request_data.get(place)
        if isinstance(names, Mapping):
            found |= {name: value for name, value in names.items() if name.startswith("user_api_key_")}
    return found

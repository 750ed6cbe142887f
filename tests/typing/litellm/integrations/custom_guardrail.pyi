from typing import Any

from litellm.types.guardrails import GuardrailEventHooks
from litellm.types.utils import GuardrailStatus

class CustomGuardrail:
    records_own_guardrail_information: bool
    guardrail_name: str | None

    def __init__(
        self,
        guardrail_name: str | None = None,
        supported_event_hooks: list[GuardrailEventHooks] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def add_standard_logging_guardrail_information_to_request_data(
        self,
        guardrail_json_response: object,
        request_data: dict[str, Any],
        guardrail_status: GuardrailStatus,
        start_time: float | None = None,
        end_time: float | None = None,
        duration: float | None = None,
        masked_entity_count: dict[str, int] | None = None,
        guardrail_provider: str | None = None,
    ) -> None: ...

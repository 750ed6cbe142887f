from typing import Any, Literal, TypedDict

GuardrailStatus = Literal[
    "success", "guardrail_flagged", "guardrail_intervened", "guardrail_failed_to_respond", "not_run"
]

class GenericGuardrailAPIInputs(TypedDict, total=False):
    texts: list[str]
    images: list[str]
    tools: list[dict[str, Any]]
    tool_calls: list[dict[str, Any]]
    structured_messages: list[dict[str, Any]]
    model: str | None

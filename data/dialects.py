"""The door: every request enters here, is checked once, and is trusted behind it.

| what comes | which function | what it follows |
|---|---|---|
| a Chat Completions body | `parse_request` | OpenAI API reference, with `functions` and `function_call` |
| a Responses body, a text completion | `parse_request` | OpenAI API reference; what the server keeps is not read |
| a Messages body | `parse_request` | Anthropic API reference, with tool use, thinking and documents |
| our own row | `parse_request` | the same, with `id`, `account` and `time_s` |
| a labelled row | `parse_labelled` | the same, with label, family and source |
"""

from __future__ import annotations

from stillwatch.data.bodies import parse_request
from stillwatch.data.labelled_rows import dump_labelled, parse_labelled

__all__ = ["dump_labelled", "parse_labelled", "parse_request"]

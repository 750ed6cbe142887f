"""The service's whole HTTP surface, asked whatever OpenAPI describes and much that it does not: no crash, no quote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.python.asgi import ASGIClient, get_client
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stillwatch.data.configuration import parse_config
from stillwatch.model.bundle import Bundle
from stillwatch.serve.service.app import build_app
from stillwatch.serve.service.scoring import build_service
from stillwatch.serve.service.secrecy import make_api_key
from stillwatch.serve.service.settings import ServeConfig

CASES = int(os.environ.get("STILLWATCH_FUZZ_CASES", "1500"))
POLICY = ("policy.mode=block", "policy.on_failure=closed", "limits.max_body_bytes=20000", "limits.max_characters=4000")

Attempt = Any
"""An `Attempts` of `conftest.py`."""
Texts = st.SearchStrategy[str]


@dataclass(frozen=True, slots=True)
class Surface:
    """The app, its description as schemathesis reads it, a client, a key, and the file of its audit."""

    schema: Any
    client: ASGIClient
    key: str
    audit: Path

    @property
    def operations(self) -> list[Any]:
        """All that can be asked."""
        return [found.ok() for found in self.schema.get_all_operations()]


@pytest.fixture(scope="module")
def surface(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surface]:
    folder = tmp_path_factory.mktemp("surface")
    key, line = make_api_key("fuzz")
    (folder / "keys").write_text(line)
    overrides = [*POLICY, f"auth.keys_file={folder / 'keys'}", f"audit.file={folder / 'audit.jsonl'}"]
    service = build_service(parse_config(ServeConfig, {"bundle": tiny_bundle.folder}, "settings", overrides))
    service.warm_up()
    app: Any = build_app(service)
    with get_client(app) as client:
        yield Surface(schemathesis.openapi.from_asgi("/openapi.json", app), client, key, folder / "audit.jsonl")
    service.close()


def fuzz(share: float) -> settings:
    """As in `test_parsers.py`."""
    return settings(max_examples=max(10, round(CASES * share)), deadline=None, suppress_health_check=list(HealthCheck))


def check_answer(surface: Surface, case: Any, response: Any, attempt: Any) -> None:
    """As OpenAPI describes it, in order even where it refuses, and silent."""
    assert response.status_code != 500
    case.validate_response(response, checks=CHECKS)
    attempt.check_silent(response.text, response.headers)
    if response.status_code >= 400 and response.request.method == "POST":
        assert response.json().keys() == {"action", "enforced", "block", "error"}


CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]


@fuzz(0.03)
@given(data=st.data())
def test_what_openapi_describes_is_answered_as_it_says(data: st.DataObject, surface: Surface, attempt: Attempt) -> None:
    operation = data.draw(st.sampled_from(surface.operations), label="operation")
    mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    if data.draw(st.integers(0, 5)):
        case.headers["Authorization"] = f"Bearer {surface.key}"
    response = attempt(lambda: case.call(session=surface.client), kind="openapi")
    check_answer(surface, case, response, attempt)


@fuzz(0.04)
@given(data=st.data())
def test_whatever_is_posted_is_answered_as_openapi_says(
    data: st.DataObject, surface: Surface, attempt: Attempt, calls: st.SearchStrategy[Any], texts: Texts
) -> None:
    posts = [each for each in surface.operations if each.method == "post"]
    case = data.draw(st.sampled_from(posts), label="operation").Case()
    header = texts.map(lambda text: text.encode("utf-8", "replace").decode("latin-1")) | st.floats().map(str)
    header = header.filter(lambda text: text.isprintable() and text == text.strip())
    names = ("X-Stillwatch-Account", "X-Stillwatch-Time", "X-Stillwatch-Deadline-Ms", "X-Request-Id", "Cookie")
    headers = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, header)))
    headers |= {"Authorization": f"Bearer {surface.key}", "Content-Type": "application/json"}
    if not data.draw(st.integers(0, 3)):
        headers["Content-Type"] = data.draw(header)
    body = data.draw(st.binary(max_size=60) | calls.map(lambda call: json.dumps(call).encode()))
    response = attempt(
        lambda: surface.client.post(case.operation.path, data=body, headers=headers, timeout=60), kind="http"
    )
    check_answer(surface, case, response, attempt)
    if surface.audit.exists():
        attempt.check_silent(surface.audit.read_text()[-2_000:])

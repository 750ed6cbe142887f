"""The log: a JSON object a line on standard error, of fixed words and numbers. Nothing that a caller sent gets in.

Other libraries' records keep their template and lose its arguments, and an exception is told by its type and place:
its words may quote a request.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback

_SPANS = "opentelemetry.trace"

_LOGGER = logging.getLogger("stillwatch.service")


class _SafeFormatter(logging.Formatter):
    """Renders a record as described above."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        ours = record.name == _LOGGER.name
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": str(record.msg) if ours or record.args else "library_message",
        }
        if ours:
            line |= getattr(record, "facts", {})
        else:
            line["logger"] = record.name
        if record.exc_info is not None and record.exc_info[1] is not None:
            line |= describe_error(record.exc_info[1])
        return json.dumps(line)


def configure_log() -> None:
    """Send every logger's records to standard error in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_SafeFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _LOGGER.setLevel(logging.INFO)


def tell(event: str, *, level: int = logging.INFO, **facts: str | float | None) -> None:
    """Log an event.

    Args:
        event: its fixed name.
        level: as in `logging`.
        facts: numbers, codes, versions and settings; never what a caller sent.

    Where a span is there, its trace is told as `trace_id`.
    """
    trace_id = _find_trace()
    if trace_id is not None:
        facts["trace_id"] = trace_id
    _LOGGER.log(level, event, extra={"facts": facts})


def _find_trace() -> str | None:
    spans = sys.modules.get(_SPANS)  # where nobody has loaded it, there is no span
    if spans is None:
        return None
    context = spans.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def describe_error(error: BaseException) -> dict[str, str]:
    """Type and place of an exception, without its words."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return {"error": type(error).__qualname__, "place": place}

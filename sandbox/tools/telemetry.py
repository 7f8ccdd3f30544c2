"""OpenTelemetry: a span for each call, by the conventions for generative AI.

The extra `sandbox-engine[telemetry]` brings the API. Nothing of it is imported here before a
Telemetry is made.
"""

import sys
from typing import TYPE_CHECKING, Any, Final

from sandbox.errors import BadCall
from sandbox.tools.hooks import Asked, Ended, Hook

if TYPE_CHECKING:
    from opentelemetry.context import Context as OpenTelemetry
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["Telemetry", "current_traceparent"]

MOST_NAME_CHARACTERS: Final = 128


class Telemetry(Hook):
    """Makes a span "execute_tool NAME" of each call: `Toolset(hooks=[Telemetry()])`.

    It is a child of the span that is current where the turn is answered, or else of the context's
    traceparent. It is current itself while the call runs, so that a handler's spans are below it.
    It carries names, ids, the fate and times, never arguments or values. tracer_provider: the
    global one by default. Raises BadCall where OpenTelemetry is not installed.
    """

    def __init__(self, tracer_provider: "TracerProvider | None" = None) -> None:
        """Get a tracer."""
        try:
            from opentelemetry import trace  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            message = "Telemetry needs OpenTelemetry: install sandbox-engine[telemetry]"
            raise BadCall(message) from error
        self._tracer = trace.get_tracer("sandbox", tracer_provider=tracer_provider)
        self._open: dict[Asked, _Open] = {}

    def before(self, asked: Asked) -> None:
        """Start the span and make it current."""
        from opentelemetry import context, trace  # noqa: PLC0415 - ditto

        span = self._start(asked)
        token = context.attach(trace.set_span_in_context(span))
        self._open[asked] = _Open(span, token)

    def after(self, asked: Asked, ended: Ended) -> None:
        """Say how the call ended; one that was refused has a span of no length."""
        from opentelemetry import context  # noqa: PLC0415 - ditto

        opened = self._open.pop(asked, None)
        span = opened.span if opened else self._start(asked)
        try:
            _describe(span, ended)
        finally:
            span.end()
            if opened:
                context.detach(opened.token)

    def _start(self, asked: Asked) -> "Span":
        name = asked.tool[:MOST_NAME_CHARACTERS]  # an unknown tool's is as the model wrote it
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": asked.call.id[:MOST_NAME_CHARACTERS],
            "sandbox.policy": asked.policy,
            "sandbox.where": asked.where,
        }
        parent = _parent(asked.context.traceparent)
        return self._tracer.start_span(f"execute_tool {name}", parent, attributes=attributes)


class _Open:
    """A span that is current, and what makes it so no longer."""

    def __init__(self, span: "Span", token: Any) -> None:
        self.span = span
        self.token = token


def _parent(traceparent: str) -> "OpenTelemetry | None":
    """Give where a span belongs: None for below the current one."""
    from opentelemetry import trace  # noqa: PLC0415 - ditto
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - ditto

    if trace.get_current_span().get_span_context().is_valid:
        return None
    carrier = {"traceparent": traceparent}
    return tracecontext.TraceContextTextMapPropagator().extract(carrier)


def _describe(span: "Span", ended: Ended) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - ditto

    span.set_attribute("sandbox.fate", ended.fate)
    span.set_attribute("sandbox.started", ended.started)
    span.set_attribute("sandbox.queued_seconds", ended.queued_seconds)
    span.set_attribute("sandbox.ran_seconds", ended.ran_seconds)
    if not ended.answer.is_error:
        return
    span.set_attribute("error.type", _error_type(ended))
    # The fate alone: messages of a guest are nobody's to spread.
    span.set_status(StatusCode.ERROR, ended.fate)


def _error_type(ended: Ended) -> str:
    """Give a name out of few: of a fault's class, or the fate."""
    return type(ended.fault).__name__ if ended.fault is not None else ended.fate


def current_traceparent() -> str:
    """Give the W3C traceparent of the current span; "" where there is none, or no OpenTelemetry."""
    if "opentelemetry" not in sys.modules:
        return ""
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - ditto

    carrier: dict[str, str] = {}
    tracecontext.TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")

"""Spans: one for each call, by the conventions, and current while it runs."""

import subprocess
import sys

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode

from sandbox import BadCall
from sandbox.errors import EngineFault
from sandbox.providers.envelope import Answer, Text, ToolCall
from sandbox.tools.context import Context
from sandbox.tools.hooks import Asked, Ended, Fate, Hooks
from sandbox.tools.telemetry import Telemetry, current_traceparent


class Recorder:
    """A provider whose finished spans can be looked at."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hooks = Hooks([Telemetry(self.provider)])

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def asked_for(tool: str = "weather", traceparent: str = "") -> Asked:
    call = ToolCall(id="call_1", name=tool, arguments={"city": "s3cret"})
    return Asked(
        provider="gemini",
        call=call,
        tool=tool,
        arguments=call.arguments,
        context=Context(secrets={"key": "s3cret"}, traceparent=traceparent),
        policy="abc",
    )


def ended(asked: Asked, fate: Fate = "ok", fault: BaseException | None = None) -> Ended:
    answer = Answer(call=asked.call, parts=(Text("x"),), is_error=fate != "ok")
    return Ended(answer=answer, fate=fate, fault=fault, started="yes", ran_seconds=0.5)


async def run_call(recorder: Recorder, tool: str = "weather", fate: Fate = "ok") -> str:
    """Do what dispatch does; give the traceparent that a handler would see."""
    asked = asked_for(tool)
    await recorder.hooks.before(asked)
    seen = current_traceparent()
    await recorder.hooks.finish(asked, ended(asked, fate))
    return seen


def test_a_span_is_named_and_described_by_the_conventions(recorder: Recorder) -> None:
    anyio.run(run_call, recorder)
    span = recorder.spans["execute_tool weather"]
    assert (dict(span.attributes or {}), span.kind) == (
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "weather",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": "call_1",
            "sandbox.policy": "abc",
            "sandbox.where": "guest",
            "sandbox.fate": "ok",
            "sandbox.started": "yes",
            "sandbox.queued_seconds": 0.0,
            "sandbox.ran_seconds": 0.5,
        },
        SpanKind.INTERNAL,
    )


def test_a_call_that_fails_is_an_error_of_a_type_out_of_few(recorder: Recorder) -> None:
    anyio.run(run_call, recorder, "weather", "timeout")
    span = recorder.spans["execute_tool weather"]
    assert (span.status.status_code, (span.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        "timeout",
    )


def test_a_call_that_ends_well_is_no_error(recorder: Recorder) -> None:
    anyio.run(run_call, recorder)
    assert recorder.spans["execute_tool weather"].status.status_code is StatusCode.UNSET


def test_an_engine_fault_gives_its_class(recorder: Recorder) -> None:
    asked = asked_for()
    anyio.run(recorder.hooks.finish, asked, ended(asked, "fault", EngineFault("s3cret")))
    attributes = recorder.spans["execute_tool weather"].attributes or {}
    assert attributes["error.type"] == "EngineFault"


def test_a_call_that_never_ran_has_a_span_too(recorder: Recorder) -> None:
    asked = asked_for("unknown")
    anyio.run(recorder.hooks.finish, asked, ended(asked, "unknown_tool"))
    assert list(recorder.spans) == ["execute_tool unknown"]


def test_a_name_that_a_model_made_up_is_cut(recorder: Recorder) -> None:
    asked = asked_for("x" * 100_000)
    anyio.run(recorder.hooks.finish, asked, ended(asked, "unknown_tool"))
    assert max(map(len, recorder.spans)) == len("execute_tool ") + 128


def test_neither_arguments_nor_secrets_are_in_a_span(recorder: Recorder) -> None:
    asked = asked_for()
    anyio.run(recorder.hooks.finish, asked, ended(asked, "fault", EngineFault("s3cret")))
    assert "s3cret" not in recorder.spans["execute_tool weather"].to_json()


def test_a_handler_sees_the_span_of_its_call(recorder: Recorder) -> None:
    seen = anyio.run(run_call, recorder)
    span_context = recorder.spans["execute_tool weather"].get_span_context()
    assert span_context is not None
    assert seen[:53] == f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-"


def test_a_span_is_below_the_one_of_the_turn(recorder: Recorder) -> None:
    with trace.use_span(recorder.provider.get_tracer("test").start_span("turn")) as turn:
        anyio.run(run_call, recorder)
    parent = recorder.spans["execute_tool weather"].parent
    assert parent == turn.get_span_context()


def test_without_a_current_span_it_is_below_the_one_of_the_context(recorder: Recorder) -> None:
    asked = asked_for(traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    anyio.run(recorder.hooks.finish, asked, ended(asked))
    parent = recorder.spans["execute_tool weather"].parent
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))


@pytest.mark.parametrize("traceparent", ["", "x", f"00-{'0' * 32}-{'0' * 16}-01"], ids=repr)
def test_a_traceparent_that_is_none_is_left_alone(traceparent: str, recorder: Recorder) -> None:
    asked = asked_for(traceparent=traceparent)
    anyio.run(recorder.hooks.finish, asked, ended(asked))
    assert recorder.spans["execute_tool weather"].parent is None


def test_calls_at_once_have_spans_of_their_own(recorder: Recorder) -> None:
    async def both() -> list[str]:
        first, second = asked_for("a"), asked_for("b")
        seen: list[str] = []

        async def one(asked: Asked, mine: anyio.Event, others: anyio.Event) -> None:
            await recorder.hooks.before(asked)
            mine.set()
            await others.wait()
            seen.append(current_traceparent())
            await recorder.hooks.finish(asked, ended(asked))

        begun = (anyio.Event(), anyio.Event())
        async with anyio.create_task_group() as group:
            group.start_soon(one, first, begun[0], begun[1])
            group.start_soon(one, second, begun[1], begun[0])
        return seen

    assert len(set(anyio.run(both))) == 2


def test_no_span_is_current_after_the_call(recorder: Recorder) -> None:
    async def call_and_look() -> trace.Span:
        await run_call(recorder)
        return trace.get_current_span()

    assert anyio.run(call_and_look) is INVALID_SPAN


def test_without_a_span_there_is_no_traceparent() -> None:
    assert current_traceparent() == ""


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(BadCall, match=r"install sandbox-engine\[telemetry\]"):
        Telemetry()


@pytest.mark.slow
def test_importing_it_imports_nothing_of_opentelemetry() -> None:
    look = (
        "import sys, sandbox.tools.telemetry as t; print('opentelemetry' in sys.modules,"
        " repr(t.current_traceparent()))"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False ''\n"

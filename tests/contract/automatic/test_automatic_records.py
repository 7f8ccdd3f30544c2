"""Hooks, the audit log and spans around real calls: in guests, refused, failed, killed."""

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sandbox import Asked, AuditLog, Context, Ended, Hook, Telemetry, Toolset
from sandbox.providers.envelope import Turn
from sandbox.tools.answered import Answered
from sandbox.tools.audit_chain import verify_log
from sandbox.tools.hooks import HookLike

pytestmark = pytest.mark.slow

SECRET = "hunter2-hunter2"  # noqa: S105 - of nobody


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def fail(word: str) -> None:
    """Fail with the word."""
    raise ValueError(word)


def hang() -> None:
    """Wait for nobody."""
    import time  # noqa: PLC0415 - it runs in a guest

    time.sleep(60)


def parent_of(context: Context) -> str:
    """Give the trace that the handler is in."""
    return context.traceparent


def call(name: str, arguments: str = "{}", call_id: str = "call_A") -> dict[str, str]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def answer(*calls: dict[str, str], hooks: list[HookLike], **options: Any) -> Answered:
    with Toolset(hooks=hooks) as tools:
        tools.add(add, fail, parent_of)
        tools.add(hang, wall_seconds=0.3, grace_seconds=0.1)
        return tools.answer_sync(list(calls), provider="openai", **options)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("asked", "events"),
    [
        pytest.param(
            call("add", '{"a": 1, "b": 2}'), [("started", None), ("ended", "ok")], id="ok"
        ),
        pytest.param(
            call("fail", '{"word": "x"}'), [("started", None), ("ended", "error")], id="error"
        ),
        pytest.param(call("hang"), [("started", None), ("ended", "timeout")], id="killed"),
        pytest.param(call("nothing"), [("ended", "unknown_tool")], id="unknown"),
        pytest.param(call("add", '{"a": 1}'), [("ended", "bad_arguments")], id="bad arguments"),
        pytest.param(call("add", '{"a": '), [("ended", "bad_arguments")], id="no JSON"),
    ],
)
def test_each_call_is_in_the_audit_log(
    asked: dict[str, str], events: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    answer(asked, hooks=[AuditLog(tmp_path / "log")])
    lines = lines_of(tmp_path / "log")
    assert [(line["event"], line.get("fate")) for line in lines] == events


def test_the_audit_log_of_a_turn_is_in_order(tmp_path: Path) -> None:
    calls = [call("add", json.dumps({"a": n, "b": n}), f"call_{n}") for n in range(8)]
    answer(*calls, hooks=[AuditLog(tmp_path / "log")])
    seen = verify_log(tmp_path / "log")
    assert (seen.lines, seen.fault) == (16, "")


def test_a_line_of_the_audit_log_names_the_policy_of_the_run(tmp_path: Path) -> None:
    answered = answer(call("add", '{"a": 1, "b": 2}'), hooks=[AuditLog(tmp_path / "log")])
    [result] = answered.results
    assert result is not None
    assert {line["policy"] for line in lines_of(tmp_path / "log")} == {result.policy}


@pytest.mark.parametrize("name", ["fail", "nothing", "add"])
def test_no_secret_reaches_the_audit_log(name: str, tmp_path: Path) -> None:
    arguments = json.dumps({"word": f"a {SECRET} b", "password": "another"})
    context = Context(secrets={"key": SECRET})
    answer(call(name, arguments), hooks=[AuditLog(tmp_path / "log")], context=context)
    written = (tmp_path / "log").read_text()
    assert (SECRET in written, "another" in written) == (False, False)


def test_a_call_that_cannot_be_written_down_does_not_run(tmp_path: Path) -> None:
    asked = call("add", '{"a": 1, "b": 2}')
    answered = answer(asked, hooks=[AuditLog(tmp_path / "none" / "log")])
    [called] = answered.calls
    assert (called.fate, called.started, called.result) == ("fault", "no", None)


def test_a_hook_refuses_and_the_model_is_told_why() -> None:
    def office_hours(asked: Asked) -> str | None:
        return "closed on Sundays" if asked.tool == "add" else None

    answered = answer(call("add", '{"a": 1, "b": 2}'), hooks=[office_hours])
    [called] = answered.calls
    assert (called.fate, called.started) == ("refused", "no")
    assert "closed on Sundays" in json.dumps(answered.messages)


def test_a_hook_that_raises_is_one_answer_and_its_sibling_has_its_own() -> None:
    def broken(asked: Asked) -> None:
        if asked.call.id == "call_A":
            raise ZeroDivisionError(SECRET)

    both = (call("add", '{"a": 1, "b": 2}'), call("add", '{"a": 3, "b": 4}', "call_B"))
    answered = answer(*both, hooks=[broken])
    assert [called.fate for called in answered.calls] == ["fault", "ok"]
    assert SECRET not in json.dumps(answered.messages)


def test_a_hook_that_raises_afterwards_leaves_the_answer_as_it_is() -> None:
    class Broken(Hook):
        def after(self, asked: Asked, ended: Ended) -> None:
            raise ZeroDivisionError(asked.tool, ended.fate)

    answered = answer(call("add", '{"a": 1, "b": 2}'), hooks=[Broken()])
    assert [called.fate for called in answered.calls] == ["ok"]


def test_errors_are_told_once_each() -> None:
    told: list[str] = []

    class Errors(Hook):
        def on_error(self, asked: Asked, ended: Ended) -> None:
            told.append(f"{asked.tool}: {ended.fate}")

    answer(
        call("add", '{"a": 1, "b": 2}'),
        call("fail", '{"word": "x"}', "call_B"),
        call("nothing", "{}", "call_C"),
        hooks=[Errors()],
    )
    assert sorted(told) == ["fail: error", "nothing: unknown_tool"]


def spans_of(*calls: dict[str, str], **options: Any) -> tuple[Answered, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return answer(*calls, hooks=[Telemetry(provider)], **options), exporter


def test_each_call_of_a_turn_has_one_span(caplog: pytest.LogCaptureFixture) -> None:
    _, exporter = spans_of(call("add", '{"a": 1, "b": 2}'), call("nothing", "{}", "call_B"))
    names = [span.name for span in exporter.get_finished_spans()]
    assert sorted(names) == ["execute_tool add", "execute_tool nothing"]
    assert caplog.records == []  # OpenTelemetry logs it if a span is ended in another task


@pytest.mark.parametrize(
    "traceparent", ["", f"00-{'a' * 32}-{'b' * 16}-01"], ids=["no trace", "in a trace"]
)
def test_a_handler_in_a_guest_is_below_the_span_of_its_call(traceparent: str) -> None:
    context = Context(traceparent=traceparent)
    answered, exporter = spans_of(call("parent_of"), context=context)
    [span] = exporter.get_finished_spans()
    span_context = span.get_span_context()
    assert span_context is not None
    [result] = answered.results
    assert result is not None
    assert f"{span_context.trace_id:032x}-{span_context.span_id:016x}" in result.value


def test_a_turn_without_calls_tells_nobody(tmp_path: Path) -> None:
    turn = Turn(provider="openai", calls=(), history=())
    with Toolset(hooks=[AuditLog(tmp_path / "log")]) as tools:
        tools.answer_sync(turn)
    assert not (tmp_path / "log").exists()

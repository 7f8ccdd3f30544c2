"""The audit log: what is written, what is hidden, and what a look at it finds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from sandbox.errors import EngineFault
from sandbox.providers.envelope import Answer, Text, ToolCall
from sandbox.result import Enforced, ErrorInfo, Result
from sandbox.tools.audit import HIDDEN, AuditLog, redacted
from sandbox.tools.audit_chain import NO_HASH, verify_log
from sandbox.tools.context import Context
from sandbox.tools.hooks import Asked, Ended, Fate
from sandbox.wire import Json

ENFORCED = Enforced(**dict.fromkeys(Enforced.model_fields, "test"))


def asked_for(
    arguments: Mapping[str, Json] | str, secrets: Mapping[str, str] | None = None
) -> Asked:
    return Asked(
        provider="anthropic",
        call=ToolCall(id="toolu_1", name="pay", arguments=arguments),
        tool="bank__pay",
        arguments=arguments,
        context=Context(user="u1", request_id="r9", secrets=secrets or {}),
        policy="0123456789abcdef",
    )


def ended(asked: Asked, fate: Fate = "ok", message: str = "") -> Ended:
    error = ErrorInfo(type="ValueError", message=message) if message else None
    result = Result(status="error" if error else "ok", error=error, enforced=ENFORCED)
    answer = Answer(call=asked.call, parts=(Text("done"),), is_error=fate != "ok")
    return Ended(answer=answer, fate=fate, result=result, started="yes", ran_seconds=0.25)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def written(path: Path, asked: Asked, end: Ended | None = None) -> list[dict[str, Any]]:
    """Write a call's start, and its end if there is one; give what stands in the file."""
    log = AuditLog(path, redact=["IBAN"])
    anyio.run(log.before, asked)
    if end:
        anyio.run(log.after, asked, end)
    return lines_of(path)


def test_a_call_is_written_before_it_runs_and_after_its_end(tmp_path: Path) -> None:
    asked = asked_for({"amount": 5})
    events = [line["event"] for line in written(tmp_path / "log", asked, ended(asked))]
    assert events == ["started", "ended"]


def test_a_line_says_who_asked_for_what_under_which_policy(tmp_path: Path) -> None:
    [line] = written(tmp_path / "log", asked_for({"amount": 5}))
    del line["time"]
    assert line == {
        "n": 1,
        "previous": NO_HASH,
        "event": "started",
        "user": "u1",
        "request_id": "r9",
        "traceparent": "",
        "provider": "anthropic",
        "policy": "0123456789abcdef",
        "where": "guest",
        "call": "toolu_1",
        "tool": "bank__pay",
        "arguments": {"amount": 5},
    }


def test_an_end_says_how_and_how_long(tmp_path: Path) -> None:
    asked = asked_for({})
    end = ended(asked, fate="error", message="no money")
    line = written(tmp_path / "log", asked, end)[-1]
    keys = ("fate", "is_error", "started", "ran_seconds", "error")
    assert [line[key] for key in keys] == ["error", True, "yes", 0.25, "ValueError: no money"]


def test_an_engine_fault_is_named(tmp_path: Path) -> None:
    asked = asked_for({})
    answer = Answer(call=asked.call, parts=(), is_error=True)
    end = Ended(answer=answer, fate="fault", fault=EngineFault("no zygote"))
    assert written(tmp_path / "log", asked, end)[-1]["fault"] == "EngineFault: no zygote"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"q": 'key=s3cr"et!'}, id="in a text"),
        pytest.param({'s3cr"et!': 1}, id="as a key"),
        pytest.param({"a": [{"b": ['s3cr"et!']}]}, id="deep inside"),
        pytest.param({"q": json.dumps({"k": 's3cr"et!'})}, id="in JSON in a text"),
        pytest.param({"q": 's3cr\\"et!' * 5000}, id="where the text is cut"),
    ],
)
def test_no_secret_of_the_context_is_written(arguments: dict[str, Json], tmp_path: Path) -> None:
    asked = asked_for(arguments, {"key": 's3cr"et!'})
    written(tmp_path / "log", asked, ended(asked, fate="error", message='bad s3cr"et!'))
    assert "s3cr" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("name", ["password", "API_KEY", "Token", "iban"])
def test_arguments_with_secret_names_are_not_written(name: str, tmp_path: Path) -> None:
    [line] = written(tmp_path / "log", asked_for({"to": [{name: ["x", "y"]}]}))
    assert line["arguments"] == {"to": [{name: HIDDEN}]}


def test_arguments_that_are_no_json_are_counted_and_not_written(tmp_path: Path) -> None:
    [line] = written(tmp_path / "log", asked_for('{"password": "x'))
    assert line["arguments"] == "[15 characters that are not JSON]"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"a": float("nan")}, {"a": "nan"}, id="not a number"),
        pytest.param({"a": float("-inf")}, {"a": "-inf"}, id="infinity"),
        pytest.param({"a": "\ud800\u2028\x00"}, {"a": "\ud800\u2028\x00"}, id="odd characters"),
        pytest.param({"a": None, "b": True}, {"a": None, "b": True}, id="constants"),
    ],
)
def test_whatever_a_model_sends_is_one_line_of_json(
    arguments: dict[str, Json], expected: object, tmp_path: Path
) -> None:
    [line] = written(tmp_path / "log", asked_for(arguments))
    assert line["arguments"] == expected


def test_long_arguments_are_cut_and_their_length_said(tmp_path: Path) -> None:
    [line] = written(tmp_path / "log", asked_for({"a": "x" * 100_000}))
    assert (line["arguments"]["characters"], len(line["arguments"]["beginning"])) == (
        100_009,
        16_384,
    )


def test_deep_arguments_are_cut(tmp_path: Path) -> None:
    nested: Json = "bottom"
    for _ in range(65):
        nested = [nested]
    [line] = written(tmp_path / "log", asked_for({"a": nested}))
    assert "bottom" not in json.dumps(line)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("a", HIDDEN, id="the secret"),
        pytest.param(17, HIDDEN, id="a number"),
        pytest.param(["b", {"a": "ba"}], ["b", {HIDDEN: f"b{HIDDEN}"}], id="around it"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_every_place_of_a_secret_is_redacted(value: Json, expected: Json) -> None:
    assert redacted(value, ["a", "17", ""]) == expected


def test_the_longer_of_two_secrets_is_redacted_as_a_whole() -> None:
    assert redacted("abcd", ["ab", "abcd"]) == HIDDEN


def test_a_synced_log_is_in_order(tmp_path: Path) -> None:
    anyio.run(AuditLog(tmp_path / "log", fsync=True).before, asked_for({}))
    assert verify_log(tmp_path / "log").lines == 1


def test_a_log_in_a_folder_that_is_not_there_stops_the_call(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        anyio.run(AuditLog(tmp_path / "none" / "log").before, asked_for({}))


def test_many_calls_at_once_write_one_chain(tmp_path: Path) -> None:
    async def many() -> None:
        log = AuditLog(tmp_path / "log")
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(log.before, asked_for({"number": number}))

    anyio.run(many)
    assert verify_log(tmp_path / "log").lines == 50

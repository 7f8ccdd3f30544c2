"""The record of a call: frozen, complete in JSON, and strict about what it reads."""

import json

import pytest
from pydantic import ValidationError

from sandbox.backends.fake import FakeBackend
from sandbox.policy import Policy
from sandbox.result import CallFailed, ErrorInfo, LeftOutFile, Result, Usage

ENFORCED = FakeBackend.returning().enforced(Policy())
OK = Result(status="ok", value={"a": [1]}, enforced=ENFORCED)
FAILED = Result(status="error", error=ErrorInfo(type="E", message="why"), enforced=ENFORCED)

RESULTS = {
    "ok": OK,
    "failed": FAILED,
    "bytes": OK.model_copy(update={"stdout_bytes": bytes(range(256)), "files": {"é": b"\xff"}}),
    "left out": OK.model_copy(update={"left_out": (LeftOutFile(path="x", reason="a fifo"),)}),
    "partial": FAILED.model_copy(update={"partial": (1, {"a": None})}),
    "usage": OK.model_copy(update={"usage": Usage(cpu_seconds=0.1, peak_memory_bytes=1 << 40)}),
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())
def test_json_gives_the_same_result_back(result: Result) -> None:
    assert Result.from_json(result.to_json()) == result


def test_json_may_come_as_bytes() -> None:
    assert Result.from_json(OK.to_json().encode()) == OK


def test_bytes_are_base64_in_json() -> None:
    document = json.loads(OK.model_copy(update={"stdout_bytes": b"\xff"}).to_json())

    assert document["stdout_bytes"] == "/w=="


BROKEN = {
    "not JSON": "{",
    "a list": "[]",
    "no status": "{}",
    "an unknown status": OK.to_json().replace('"ok"', '"fine"'),
    "an unknown key": OK.to_json().replace('"value"', '"valeu"'),
    "bytes that are no base64": OK.to_json().replace('"stdout_bytes":""', '"stdout_bytes":"?"'),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Result.from_json(text)


def test_a_result_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(OK, "status", "error")  # noqa: B010 - the checkers would not let it


@pytest.mark.parametrize(("result", "ok"), [(OK, True), (FAILED, False)], ids=["ok", "failed"])
def test_ok_is_the_status_ok(result: Result, *, ok: bool) -> None:
    assert result.ok is ok


def test_unwrap_gives_the_value() -> None:
    assert OK.unwrap() == {"a": [1]}


def test_unwrap_raises_with_the_whole_result() -> None:
    with pytest.raises(CallFailed) as caught:
        FAILED.unwrap()

    assert caught.value.result is FAILED


def test_a_failure_says_its_verdict_and_reason() -> None:
    with pytest.raises(CallFailed, match=r"^error: E: why$"):
        FAILED.unwrap()

"""From what the host saw to one status: the whole table."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from sandbox.backends.base import Limit, Sighting
from sandbox.backends.fake import returned
from sandbox.call import Command, Function, Source
from sandbox.policy import Quota
from sandbox.result import ErrorInfo, Usage
from sandbox.verdict import judge, signal_name
from sandbox.wire import MainExited, MainSignaled, NoAnswer, Raised, Returned, Unfit

SOURCE = Source(source="1")
COMMAND = Command(argv=["true"])
FUNCTION = Function(name="m:f")
QUOTA = Quota()

RAISED = Raised("ValueError", "no", "Traceback")
ALL_CPU = Usage(cpu_seconds=QUOTA.cpu_seconds)


def seen(**changes: Any) -> Sighting:
    return replace(returned(42), **changes)


ENDS: dict[str, tuple[Sighting, str]] = {
    "a value": (seen(), "ok"),
    "no value": (seen(claim=Returned(None)), "ok"),
    "no answer": (seen(claim=NoAnswer("none came")), "error"),
    "unfit": (seen(claim=Unfit("a set")), "invalid"),
    "raised": (seen(claim=RAISED, ended=MainExited(1)), "error"),
    "raised, but exit 0": (seen(claim=RAISED, ended=MainExited(0)), "error"),
    "a value, but exit 3": (seen(ended=MainExited(3)), "exit"),
    "unfit and exit 3": (seen(claim=Unfit("a set"), ended=MainExited(3)), "exit"),
    "a value, but SIGKILL": (seen(ended=MainSignaled(9)), "signal"),
    "SIGSEGV": (seen(ended=MainSignaled(11)), "signal"),
    "a signal without a name": (seen(ended=MainSignaled(64)), "signal"),
    "SIGSYS": (seen(ended=MainSignaled(signal.SIGSYS)), "denied"),
    "SIGXFSZ": (seen(ended=MainSignaled(signal.SIGXFSZ)), "disk_limit"),
    "SIGXCPU": (seen(ended=MainSignaled(signal.SIGXCPU)), "cpu_limit"),
    "SIGKILL with all time used": (seen(ended=MainSignaled(9), usage=ALL_CPU), "cpu_limit"),
    "SIGSEGV with all time used": (seen(ended=MainSignaled(11), usage=ALL_CPU), "signal"),
    "no end": (seen(ended=None), "signal"),
}

STATUS: dict[Limit, str] = {
    "wall": "timeout",
    "cpu": "cpu_limit",
    "memory": "memory_limit",
    "processes": "process_limit",
    "output": "output_limit",
    "disk": "disk_limit",
}


@pytest.mark.parametrize(("sighting", "status"), ENDS.values(), ids=ENDS.keys())
def test_the_status_of_source_is(sighting: Sighting, status: str) -> None:
    assert judge(SOURCE, sighting, QUOTA).status == status


@pytest.mark.parametrize(("sighting", "status"), ENDS.values(), ids=ENDS.keys())
def test_a_function_is_judged_as_source_is(sighting: Sighting, status: str) -> None:
    assert judge(FUNCTION, sighting, QUOTA).status == status


@pytest.mark.parametrize(("sighting", "status"), ENDS.values(), ids=ENDS.keys())
def test_only_ok_has_a_value_and_no_error(sighting: Sighting, status: str) -> None:
    verdict = judge(SOURCE, sighting, QUOTA)

    assert (verdict.error is None) == (status == "ok")


@pytest.mark.parametrize(("sighting", "status"), ENDS.values(), ids=ENDS.keys())
def test_a_bad_verdict_has_no_value(sighting: Sighting, status: str) -> None:
    verdict = judge(SOURCE, sighting, QUOTA)

    assert verdict.value is None or status == "ok"


COMMANDS: dict[str, tuple[Sighting, str]] = {
    "exit 0 and no answer": (seen(claim=NoAnswer("none")), "ok"),
    "exit 0 and a forged value": (seen(), "ok"),
    "exit 1": (seen(claim=NoAnswer("none"), ended=MainExited(1)), "exit"),
    "a signal": (seen(claim=NoAnswer("none"), ended=MainSignaled(15)), "signal"),
    "not found": (seen(claim=RAISED, ended=MainExited(127)), "error"),
}


@pytest.mark.parametrize(("sighting", "status"), COMMANDS.values(), ids=COMMANDS.keys())
def test_the_status_of_a_command_is(sighting: Sighting, status: str) -> None:
    assert judge(COMMAND, sighting, QUOTA).status == status


def test_a_command_never_has_a_value() -> None:
    assert judge(COMMAND, seen(), QUOTA).value is None


@pytest.mark.parametrize(("limit", "status"), STATUS.items(), ids=STATUS.keys())
def test_a_limit_that_ended_the_call_is_its_status(limit: Limit, status: str) -> None:
    assert judge(SOURCE, seen(stopped_by=limit, ended=None), QUOTA).status == status


@pytest.mark.parametrize(("limit", "status"), STATUS.items(), ids=STATUS.keys())
def test_a_limit_that_the_kernel_enforced_is_its_status(limit: Limit, status: str) -> None:
    assert judge(SOURCE, seen(limits_hit=frozenset({limit})), QUOTA).status == status


@pytest.mark.parametrize(("limit", "status"), STATUS.items(), ids=STATUS.keys())
def test_a_full_limit_is_the_reason_of_a_failure(limit: Limit, status: str) -> None:
    failed = seen(limits_reached=frozenset({limit}), claim=RAISED, ended=MainExited(1))

    assert judge(SOURCE, failed, QUOTA).status == status


@pytest.mark.parametrize("limit", STATUS)
def test_a_full_limit_alone_is_no_failure(limit: Limit) -> None:
    assert judge(SOURCE, seen(limits_reached=frozenset({limit})), QUOTA).status == "ok"


def test_a_refused_process_weighs_more_than_the_time_it_then_took() -> None:
    hung = seen(stopped_by="wall", ended=None, limits_hit=frozenset[Limit]({"processes"}))

    assert judge(SOURCE, hung, QUOTA).status == "process_limit"


def test_memory_weighs_most() -> None:
    both = seen(stopped_by="cpu", ended=None, limits_hit=frozenset[Limit]({"memory", "processes"}))

    assert judge(SOURCE, both, QUOTA).status == "memory_limit"


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("wall", "quota.wall_seconds = 5.0"),
        ("cpu", "quota.cpu_seconds = 5.0"),
        ("memory", "quota.memory_bytes = 268435456"),
        ("processes", "quota.processes = 32"),
        ("output", "quota.output_bytes = 1048576"),
        ("disk", "quota.disk_bytes = 67108864"),
    ],
)
def test_the_error_names_the_quota_and_its_value(limit: Limit, words: str) -> None:
    verdict = judge(SOURCE, seen(stopped_by=limit), QUOTA)

    assert words in str(verdict.error)


def test_an_exception_comes_in_the_guests_own_words() -> None:
    verdict = judge(SOURCE, seen(claim=RAISED, ended=MainExited(1)), QUOTA)

    assert verdict.error == ErrorInfo(type="ValueError", message="no", traceback="Traceback")


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (40, "signal 40")])
def test_a_signal_has_its_name(number: int, name: str) -> None:
    assert signal_name(number) == name

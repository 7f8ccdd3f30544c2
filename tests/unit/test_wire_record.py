"""Lines of a watcher and a guest's evidence, read into a record whatever they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.record import FileEvent, PythonEvent, Record, Sample, SystemCallEvent
from sandbox.wire_record import CutShort, Naming, Watched, parse_record

NAMING = Naming(
    calls={101: "ptrace", 257: "openat"},
    reasons={"ptrace": "Reaching into another process.", "*": "Nobody has thought about it."},
    unwatched=("read",),
)
OPENED = {"kind": "file", "access": "read", "path": "/box/a", "outcome": "allowed"}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
keys = st.sampled_from(
    ["event", "process", "at", "parent", "pid", "ended", "repeats", "calls", "not_kept", "begun"]
)


def watched(*lines: Any, evidence: tuple[bytes, ...] = (), **more: Any) -> Watched:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    facts: dict[str, Any] = {"name": "program.py", "asked_at": 100.0, "seconds": 2.0, "samples": ()}
    return Watched(lines=text.encode(), evidence=evidence, **(facts | more))


def read(*lines: Any, **more: Any) -> Record:
    return parse_record(watched(*lines, "end", **more), NAMING)


def event(at: float = 0.5, **said: Any) -> dict[str, Any]:
    return {"event": {**OPENED, **said}, "process": 1, "at": at}


def test_an_event_is_read() -> None:
    (found,) = read(event()).events

    assert found == FileEvent(access="read", path="/box/a", outcome="allowed", at=0.5, process=1)


def test_a_refused_call_is_named_with_its_error_and_reason() -> None:
    refused = {"kind": "system_call", "number": 101, "error": 1, "outcome": "refused"}

    (found,) = read({"event": refused, "process": 1, "at": 0.1}).events

    assert isinstance(found, SystemCallEvent)
    assert (found.name, found.error, found.why) == (
        "ptrace",
        "EPERM",
        "Reaching into another process.",
    )


def test_a_call_without_a_name_has_its_number_and_the_general_reason() -> None:
    refused = {"kind": "system_call", "number": 999, "error": 38, "outcome": "refused"}

    (found,) = read({"event": refused, "process": 1, "at": 0.1}).events

    assert isinstance(found, SystemCallEvent)
    assert (found.name, found.error, found.why) == (
        "call 999",
        "ENOSYS",
        "Nobody has thought about it.",
    )


def test_repeats_are_of_the_event_at_their_place() -> None:
    found = read(event(path="/a"), event(path="/b"), {"repeats": [[1, 7, 0.9]]}).events

    assert [(each.count, each.last_at) for each in found] == [(1, 0.0), (7, 0.9)]


def test_an_event_that_does_not_fit_keeps_its_place_and_is_counted() -> None:
    record = read(event(access="burn"), event(path="/b"), {"repeats": [[1, 7, 0.9]]})

    assert [each.count for each in record.events] == [7]
    assert record.not_kept == 1


def test_a_record_without_an_end_is_none() -> None:
    with pytest.raises(CutShort):
        parse_record(watched(event()), NAMING)


def test_a_process_is_named_after_the_last_program_that_it_became() -> None:
    program = {"kind": "program", "path": "/bin/ls", "argv": ["ls", "-l"], "outcome": "allowed"}
    failed = {**program, "argv": ["x"], "outcome": "missing"}
    record = read(
        {"process": 1, "parent": None, "pid": 2, "at": 0.0},
        {"process": 2, "parent": 1, "pid": 3, "at": 0.1},
        {"event": program, "process": 2, "at": 0.2},
        {"event": failed, "process": 2, "at": 0.3},
        {"ended": 2, "at": 0.4},
    )

    assert [(each.name, each.ended_at) for each in record.processes] == [
        ("program.py", None),
        ("ls -l", 0.4),
    ]


def test_samples_begin_with_the_calls_own_code() -> None:
    samples = tuple(
        Sample(at=at, cpu_seconds=0, memory_bytes=1, processes=1, output_bytes=0)
        for at in (0.1, 0.5, 1.0)
    )

    record = read({"begun": 100.4}, samples=samples)

    assert [sample.at for sample in record.samples] == [pytest.approx(0.1), pytest.approx(0.6)]
    assert record.seconds == pytest.approx(1.6)


def told(**said: Any) -> bytes:
    whole = {"at": 0.1, "action": "import", "detail": "os", "where": "p.py:1"}
    return json.dumps(whole | said).encode()


def test_evidence_is_read_and_kept_within_the_call() -> None:
    found = read(evidence=(told(), told(at=-5), told(at=1e9))).events

    assert [each.at for each in found] == [0.0, 0.1, 2.0]
    assert all(isinstance(each, PythonEvent) for each in found)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        told(action="burn"),
        told(at="x"),
        told(detail=7),
        b'{"at": 1e999}',
        b"[" * 100_000,
    ],
)
def test_evidence_that_does_not_fit_is_left_out(body: bytes) -> None:
    assert read(evidence=(body,)).events == ()


def test_evidence_cannot_move_a_terminal() -> None:
    (found,) = read(evidence=(told(detail="\x1b[2J\u202e"),)).events

    assert isinstance(found, PythonEvent)
    assert found.detail == r"\x1b[2J\u202e"


@given(lines=st.lists(json_values | st.dictionaries(keys, json_values), max_size=6))
def test_whatever_lines_come_there_is_a_record(lines: list[Any]) -> None:
    assert isinstance(read(*lines), Record)


@given(junk=st.binary(max_size=200))
def test_whatever_bytes_come_there_is_a_record(junk: bytes) -> None:
    facts = watched("end")
    lines = junk + b"\n" + bytes(facts.lines)

    record = parse_record(
        Watched(lines=lines, evidence=(), samples=(), name="p", asked_at=0.0, seconds=1.0), NAMING
    )

    assert record.events == ()

"""What comes out of a container's stream is hostile: it is read whole, or it is Malformed."""

import json
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.wire import MainExited, MainSignaled, Malformed
from sandbox.wire_container import (
    Answered,
    ContainerReader,
    ContainerReport,
    Done,
    Ended,
    Event,
    Fault,
    FileFound,
    FileLeft,
    Hello,
    Output,
    Piece,
    Ready,
    Shown,
)

STDOUT, STDERR = 1, 2
FILE, REPORT, HELLO, ENDED, LEFT_OUT = 8, 7, 1, 6, 9
MOST_FILE_BYTES = 1000
SLACK_BYTES = 1 << 20

GREETING = {"wire": 1, "python": [3, 12], "packages": ["/opt/packages"]}
COUNTED: dict[str, Any] = {
    "cpu_seconds": 0.5,
    "peak_memory_bytes": 4096,
    "peak_processes": 2,
    "disk_bytes": 10,
    "limits_hit": ["memory"],
    "limits_reached": ["disk"],
    "stopped_by": None,
}
AS_READ: dict[str, Any] = COUNTED | {"limits_hit": ("memory",), "limits_reached": ("disk",)}
NAMED = struct.pack(">H", 3) + b"a/b"
ENDINGS: dict[str, tuple[bytes, MainExited | MainSignaled]] = {
    "exit code 3": (struct.pack(">BI?", 1, 3 << 8, True), MainExited(3)),
    "signal 9": (struct.pack(">BI?", 1, 9, False), MainSignaled(9)),
}

KINDS: dict[str, tuple[int, bytes, Event]] = {
    "hello": (HELLO, json.dumps(GREETING).encode(), Hello(1, (3, 12), ("/opt/packages",))),
    "ready": (2, b"1", Ready()),
    "stdout": (3, bytes(range(256)), Output("stdout", bytes(range(256)))),
    "stderr": (4, b"\xff\x00", Output("stderr", b"\xff\x00")),
    "answer": (5, b"\0\0\0\1", Answered(b"\0\0\0\1")),
    **{name: (ENDED, body, Ended(report)) for name, (body, report) in ENDINGS.items()},
    "report": (
        REPORT,
        json.dumps(COUNTED).encode(),
        ContainerReport(**AS_READ),
    ),
    "file": (FILE, NAMED + b"content", FileFound(b"a/b", b"content")),
    "empty file": (FILE, NAMED, FileFound(b"a/b", b"")),
    "left out": (LEFT_OUT, NAMED + b"a fifo", FileLeft(b"a/b", "a fifo")),
    "done": (10, b"1", Done()),
    "fault": (11, b"no Landlock", Fault("no Landlock")),
    "piece": (12, b"\xff\x00", Piece(b"\xff\x00")),
    "shown": (13, b"", Shown()),
}
ALL_FRAMES = [(kind, body) for kind, body, _ in KINDS.values()]


def frame(kind: int, body: bytes) -> bytes:
    """Write a frame as runners/link.py does."""
    return struct.pack(">IB", len(body), kind) + body


def said(speech: bytes, stream: int = STDOUT) -> bytes:
    """Wrap bytes as the engine does."""
    return struct.pack(">B3xI", stream, len(speech)) + speech


def read(*chunks: bytes) -> list[Event]:
    reader = ContainerReader(MOST_FILE_BYTES)
    return [event for chunk in chunks for event in reader.feed(chunk)]


def in_pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at these places, in whatever order they are given."""
    places = sorted({min(cut, len(whole)) for cut in cuts})
    starts, ends = [0, *places], [*places, len(whole)]
    return [whole[start:end] for start, end in zip(starts, ends, strict=True)]


CUTS = st.lists(st.integers(0, 2000), max_size=20)


@pytest.mark.parametrize(("kind", "body", "event"), KINDS.values(), ids=KINDS.keys())
def test_each_kind_of_frame_is_read(kind: int, body: bytes, event: Event) -> None:
    assert read(said(frame(kind, body))) == [event]


@given(CUTS, CUTS)
def test_it_does_not_matter_how_a_stream_is_cut(engine_cuts: list[int], cuts: list[int]) -> None:
    speech = b"".join(frame(kind, body) for kind, body in ALL_FRAMES)
    stream = b"".join(said(piece) for piece in in_pieces(speech, engine_cuts))

    assert read(*in_pieces(stream, cuts)) == [event for _, _, event in KINDS.values()]


@given(CUTS)
def test_a_cut_stream_gives_the_beginning_of_what_was_said(cuts: list[int]) -> None:
    whole = said(b"".join(frame(kind, body) for kind, body in ALL_FRAMES))
    events = [event for _, _, event in KINDS.values()]

    heard = read(in_pieces(whole, cuts)[0])

    assert heard == events[: len(heard)]


def test_what_pid_1_writes_to_stderr_is_no_frame() -> None:
    assert read(said(frame(10, b"1"), STDERR)) == []


def test_the_last_line_of_stderr_tells_of_a_fault_of_pid_1() -> None:
    reader = ContainerReader(MOST_FILE_BYTES)
    reader.feed(said(b"Traceback\n", STDERR) + said(b"OSError: \xff no\n\n", STDERR))

    assert reader.last_words == "OSError: \N{REPLACEMENT CHARACTER} no"


def test_a_stderr_between_two_halves_of_a_frame_does_not_break_it() -> None:
    whole = frame(3, b"output")
    stream = said(whole[:7]) + said(b"a warning\n", STDERR) + said(whole[7:])

    assert read(stream) == [Output("stdout", b"output")]


REFUSED = {
    "kind 0": frame(0, b"x"),
    "kind 14": frame(14, b"x"),
    "kind 255": frame(255, b""),
    "a greeting that is no JSON": frame(HELLO, b"hello"),
    "a greeting that is a list": frame(HELLO, b"[]"),
    "a greeting without a version": frame(HELLO, b'{"python": [3, 12], "packages": []}'),
    "a greeting with a text for a version": frame(
        HELLO, b'{"wire": "1", "python": [3, 12], "packages": []}'
    ),
    "a greeting with half a version of Python": frame(
        HELLO, b'{"wire": 1, "python": [3], "packages": []}'
    ),
    "a greeting with a key twice": frame(
        HELLO, b'{"wire": 2, "wire": 1, "python": [3, 12], "packages": []}'
    ),
    "a greeting nested deep": frame(HELLO, b"[" * 10_000 + b"]" * 10_000),
    "an end without a status": frame(ENDED, b"\1"),
    "an end that is none": frame(ENDED, struct.pack(">BI?", 1, 0x7F, True)),
    "an end of another kind": frame(ENDED, struct.pack(">BI?", 2, 0, True)),
    "a file without a name": frame(FILE, b"\0"),
    "what was left without a name": frame(LEFT_OUT, b""),
}


@pytest.mark.parametrize("speech", REFUSED.values(), ids=REFUSED.keys())
def test_what_pid_1_never_says_is_malformed(speech: bytes) -> None:
    with pytest.raises(Malformed):
        read(said(speech))


BROKEN_REPORTS: dict[str, dict[str, Any]] = {
    "a text for a number": {"cpu_seconds": "0.5"},
    "a fraction of a byte": {"peak_memory_bytes": 0.5},
    "a truth for a number": {"peak_processes": True},
    "less than nothing": {"disk_bytes": -1},
    "less than no time": {"cpu_seconds": -0.1},
    "more than there can be": {"peak_memory_bytes": 1 << 64},
    "a text for a list": {"limits_hit": "memory"},
    "a number for a limit": {"stopped_by": 3},
}


@pytest.mark.parametrize("changes", BROKEN_REPORTS.values(), ids=BROKEN_REPORTS.keys())
def test_a_report_with_a_wrong_field_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(said(frame(REPORT, json.dumps(COUNTED | changes).encode())))


@pytest.mark.parametrize("name", COUNTED)
def test_a_report_that_lacks_a_field_is_malformed(name: str) -> None:
    counted = {key: value for key, value in COUNTED.items() if key != name}

    with pytest.raises(Malformed):
        read(said(frame(REPORT, json.dumps(counted).encode())))


@pytest.mark.parametrize(
    "folder", ["relative", "/opt/../etc", "/a:b", "/with space", "/new\nline", "/", ""]
)
def test_a_folder_of_packages_that_is_no_plain_path_is_not_taken(folder: str) -> None:
    greeting = GREETING | {"packages": [folder, "/opt/packages"]}

    assert read(said(frame(HELLO, json.dumps(greeting).encode()))) == [
        Hello(1, (3, 12), ("/opt/packages",))
    ]


@pytest.mark.parametrize(
    ("kind", "room"), [(3, SLACK_BYTES), (FILE, SLACK_BYTES + MOST_FILE_BYTES)], ids=["", "file"]
)
def test_a_frame_that_is_too_long_is_refused_by_its_header(kind: int, room: int) -> None:
    header = struct.pack(">IB", room + 1, kind)

    with pytest.raises(Malformed, match="too long"):
        read(said(header))


def test_a_frame_as_long_as_there_is_room_is_read() -> None:
    assert read(said(frame(3, bytes(SLACK_BYTES)))) == [Output("stdout", bytes(SLACK_BYTES))]


@pytest.mark.parametrize("stream", [STDOUT, STDERR], ids=["stdout", "stderr"])
def test_endless_speech_takes_no_more_memory_than_one_frame(stream: int) -> None:
    reader = ContainerReader(MOST_FILE_BYTES)
    chunk = said(frame(3, bytes(60_000)), stream)
    tracemalloc.start()
    for _ in range(200):
        reader.feed(chunk)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 1 << 20


def test_a_long_fault_is_cut() -> None:
    (fault,) = read(said(frame(11, b"x" * 100_000)))

    assert isinstance(fault, Fault)
    assert len(fault.reason) == 1000


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_no_bytes_at_all_raise_anything_but_malformed(chunks: list[bytes]) -> None:
    try:
        heard = read(*chunks)
    except Malformed:
        heard = []

    assert isinstance(heard, list)


@given(st.lists(st.tuples(st.integers(1, 11), st.binary(max_size=60)), max_size=6))
def test_no_frame_raises_anything_but_malformed(frames: list[tuple[int, bytes]]) -> None:
    try:
        heard = read(said(b"".join(frame(kind, body) for kind, body in frames)))
    except Malformed:
        return

    assert len(heard) == len(frames)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(COUNTED)), JSON_VALUES)
def test_no_field_of_a_report_raises_anything_but_malformed(name: str, value: object) -> None:
    try:
        (report,) = read(said(frame(REPORT, json.dumps(COUNTED | {name: value}).encode())))
    except Malformed:
        return

    assert isinstance(report, ContainerReport)
    assert min(report.cpu_seconds, report.peak_memory_bytes, report.peak_processes) >= 0

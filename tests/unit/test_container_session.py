"""The host's end of a session in a container, against a PID 1 on paper, which may say anything."""

import errno
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import cast

import anyio
import pytest

from sandbox import EngineFault, Policy, SessionLost
from sandbox.backends import container_session
from sandbox.backends.base import OnOutput, Sighting
from sandbox.backends.container_session import ContainerSession
from sandbox.backends.container_start import Container
from sandbox.backends.docker_engine import Attached, DockerEngine
from sandbox.call import Source
from sandbox.wire import Returned
from sandbox.wire_container import ContainerReader

CALL, KILL = 2, 6
TURN, PAYLOAD, INTERRUPT, REST, FILES, FILE_NAMED = range(7, 13)
STDOUT, ANSWER, ENDED, REPORT, FILE, LEFT_OUT, DONE = 3, 5, 6, 7, 8, 9, 10
PIECE, SHOWN = 12, 13
COUNTED: dict[str, object] = {
    "cpu_seconds": 0.25,
    "peak_memory_bytes": 1 << 20,
    "peak_processes": 1,
    "disk_bytes": 0,
    "limits_hit": [],
    "limits_reached": [],
    "stopped_by": None,
}
POLICY = Policy.load("strict").widen("a test", wall_seconds=0.3)

each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])
Says = Callable[["PaperPid1", bytes], None]


def said(kind: int, body: bytes = b"1") -> bytes:
    """Write a frame of PID 1's, as the engine passes it on."""
    frame = struct.pack(">IB", len(body), kind) + body
    return struct.pack(">B3xI", 1, len(frame)) + frame


def answer(pid_1: "PaperPid1", value: object) -> bytes:
    """Write what the guest of a turn answers."""
    body = pid_1.token + json.dumps({"value": value}).encode()
    return said(ANSWER, struct.pack(">IB", len(body), 1) + body)


def report(**changes: object) -> bytes:
    """Write what a turn used."""
    return said(REPORT, json.dumps(COUNTED | changes).encode())


class PaperPid1:
    """Reads orders in a thread, notes them, and says to each what a test has it say."""

    def __init__(self, end: socket.socket, says: dict[int, Says]) -> None:
        self.orders: list[int] = []
        self.token = b""
        self._end = end
        self._says = {PAYLOAD: answers(1), REST: tells(), KILL: dies} | says
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def say(self, *frames: bytes) -> None:
        self._end.sendall(b"".join(frames))

    def _serve(self) -> None:
        with suppress(OSError), self._end.makefile("rb") as orders:  # until the host lets go
            while header := orders.read(5):
                length, kind = struct.unpack(">IB", header)
                body = orders.read(length)
                self.orders.append(kind)
                if kind == PAYLOAD:
                    self.token = json.loads(body[4:])["token"].encode()
                self._says.get(kind, says_nothing)(self, body)

    def hang_up(self) -> None:
        self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._end.close()
        self._thread.join()


def answers(value: object) -> Says:
    return lambda pid_1, _: pid_1.say(answer(pid_1, value))


def tells(**changes: object) -> Says:
    return lambda pid_1, _: pid_1.say(report(**changes))


def says(*frames: bytes) -> Says:
    return lambda pid_1, _: pid_1.say(*frames)


def says_nothing(_pid_1: PaperPid1, _body: bytes) -> None:
    """Be silent."""


def dies(pid_1: PaperPid1, _body: bytes) -> None:
    """Tell of the death of a guest that was killed."""
    pid_1.say(said(ENDED, struct.pack(">BI?", 1, 9, True)), report(), said(DONE))


class Made:
    """A session with its PID 1, and whether its container was let go."""

    def __init__(self, does: dict[int, Says]) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        container = Container(cast("DockerEngine", None), "one", Attached(ours))
        container.reader = ContainerReader(POLICY.quota.returned_bytes)
        self.gone = 0
        self.loop = "asyncio"
        self.pid_1 = PaperPid1(theirs, does)
        self.session = ContainerSession(container, POLICY, self._look_for_death, self._let_go)

    async def _look_for_death(self, _session: ContainerSession) -> bool:
        message = "killed from outside"
        raise EngineFault(message, started="yes")

    async def _let_go(self, _session: ContainerSession) -> None:
        self.gone += 1


@pytest.fixture
def make() -> Iterator[Callable[..., Made]]:
    """Make sessions, each with what its PID 1 says to which order."""
    made: list[Made] = []

    def one(does: dict[int, Says] | None = None) -> Made:
        made.append(Made(does or {}))
        return made[-1]

    yield one
    for each in made:
        anyio.run(each.session.close, backend=each.loop)
        each.pid_1.close()


def turn(made: Made, on_output: OnOutput | None = None) -> Sighting:
    """Run one turn of it to its end."""

    async def one() -> Sighting:
        return await made.session.turn(Source(source="1"), on_output)

    return anyio.run(one, backend=made.loop)


def value_of(seen: Sighting) -> object:
    return seen.claim.value if isinstance(seen.claim, Returned) else seen.claim


@each_loop
def test_a_turn_is_asked_answered_and_told(make: Callable[..., Made], loop: str) -> None:
    made = make()
    made.loop = loop
    seen = turn(made)

    assert (value_of(seen), seen.lives_on, seen.usage.cpu_seconds) == (1, True, 0.25)
    assert made.pid_1.orders == [CALL, TURN, PAYLOAD, REST]


def test_what_was_written_before_the_answer_is_of_this_turn(make: Callable[..., Made]) -> None:
    made = make({REST: says(said(STDOUT, b"late"), report())})

    assert [turn(made).stdout.bytes(), turn(made).stdout.bytes()] == [b"late", b"late"]


def test_a_limit_that_pid_1_saw_is_of_this_turn(make: Callable[..., Made]) -> None:
    made = make({REST: tells(stopped_by="cpu")})
    seen = turn(made)

    assert (seen.stopped_by, seen.lives_on) == ("cpu", True)


def test_a_turn_over_its_time_is_interrupted_and_then_killed(make: Callable[..., Made]) -> None:
    made = make({PAYLOAD: says_nothing})
    seen = turn(made)

    assert (seen.stopped_by, seen.is_lost, seen.ended) == ("wall", True, None)
    assert made.pid_1.orders == [CALL, TURN, PAYLOAD, INTERRUPT, KILL]


def test_a_turn_that_answers_an_interrupt_goes_alone(make: Callable[..., Made]) -> None:
    seen = turn(make({PAYLOAD: says_nothing, INTERRUPT: answers(None)}))

    assert (seen.stopped_by, seen.lives_on) == ("wall", True)


def test_an_answer_of_another_turn_loses_the_session(make: Callable[..., Made]) -> None:
    def answers_late(pid_1: PaperPid1, _body: bytes) -> None:
        pid_1.token = b"0123456789abcdef"
        pid_1.say(answer(pid_1, 1))

    seen = turn(make({PAYLOAD: answers_late}))

    assert (seen.is_lost, seen.ended) == (True, None)


def test_an_answer_that_nobody_asked_for_loses_the_session(make: Callable[..., Made]) -> None:
    made = make()
    turn(made)
    made.pid_1.say(answer(made.pid_1, 2))

    with pytest.raises(SessionLost, match="nobody had asked"):
        turn(made)


def test_a_pid_1_that_does_not_tell_takes_the_session_along(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_session, "REST_SECONDS", 0.1)
    made = make({REST: says_nothing})

    assert (turn(made).is_lost, made.pid_1.orders[-1]) == (True, KILL)


def test_a_turn_given_up_is_told_before_the_next(make: Callable[..., Made]) -> None:
    """Else its report would be taken for the next turn's."""
    slow = [True]

    def answers_once_interrupted(pid_1: PaperPid1, _body: bytes) -> None:
        if not slow:
            pid_1.say(answer(pid_1, 2))

    does: dict[int, Says] = {PAYLOAD: answers_once_interrupted, INTERRUPT: answers(1)}
    made = make(does)

    async def give_up_and_go_on() -> Sighting:
        with anyio.move_on_after(0.05):
            await made.session.turn(Source(source="1"), None)
        slow.clear()
        return await made.session.turn(Source(source="1"), None)

    assert value_of(anyio.run(give_up_and_go_on)) == 2
    assert made.pid_1.orders[1:] == [TURN, PAYLOAD, INTERRUPT, REST, TURN, PAYLOAD, REST]


# Its files


def named(path: bytes, content: bytes) -> bytes:
    return struct.pack(">H", len(path)) + path + content


def test_a_file_comes_in_pieces(make: Callable[..., Made]) -> None:
    made = make({FILE_NAMED: says(said(PIECE, b"a"), said(PIECE, b"b"), said(SHOWN, b""))})

    assert [made.session.file("x"), made.session.file("x")] == [b"ab", b"ab"]


def test_the_files_are_those_that_may_be_shown(make: Callable[..., Made]) -> None:
    bad = [said(FILE, named(path, b"x")) for path in (b"../up", b"/etc/passwd", b"a/./b", b"\xff")]
    made = make({FILES: says(said(FILE, named(b"d/a", b"1")), *bad, said(SHOWN, b""))})

    assert dict(made.session.files()) == {"d/a": b"1"}


REASONS = {
    "no file": (str(errno.ENOENT), FileNotFoundError),
    "a link": (str(errno.ELOOP), OSError),
    "no number": ("\u0662", OSError),
    "a long number": ("9" * 400, OSError),
    "words": ("{0.__class__}", OSError),
    "nothing": ("", OSError),
}


@pytest.mark.parametrize(("reason", "error"), REASONS.values(), ids=REASONS.keys())
def test_why_a_file_is_not_given_is_a_number_or_nothing(
    make: Callable[..., Made], reason: str, error: type[OSError]
) -> None:
    left = said(LEFT_OUT, named(b"", reason.encode()))
    made = make({FILE_NAMED: says(said(PIECE, b"part"), left, said(SHOWN, b""))})

    with pytest.raises(error) as caught:
        made.session.file("x")

    assert caught.value.strerror in {os.strerror(errno.ENOENT), told(errno.ELOOP), told(errno.EIO)}


def told(number: int) -> str:
    return f"it cannot be copied out: {os.strerror(number)}"


def test_pieces_that_nobody_asked_for_or_too_many_are_a_fault(make: Callable[..., Made]) -> None:
    flood = [said(PIECE, bytes(1 << 20))] * ((POLICY.quota.disk_bytes >> 20) + 2)
    made = make({FILE_NAMED: says(*flood, said(SHOWN, b""))})
    with pytest.raises(SessionLost):
        made.session.file("x")


def test_who_does_not_give_its_files_loses_the_session(
    make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_session, "SHOW_SECONDS", 0.1)
    made = make()
    with pytest.raises(SessionLost, match="did not hand over"):
        made.session.files()

    with pytest.raises(SessionLost):
        turn(made)


def test_what_comes_with_the_files_is_heard_afterwards_in_its_order(
    make: Callable[..., Made],
) -> None:
    """Output, its listener asks for a file; more output and the answer stand before that file."""
    heard: list[bytes] = []
    read: list[bytes] = []

    def speaks(pid_1: PaperPid1, _body: bytes) -> None:
        pid_1.say(said(STDOUT, b"1"))

    def shows(pid_1: PaperPid1, _body: bytes) -> None:
        more = [said(STDOUT, b"2"), said(STDOUT, b"3"), answer(pid_1, 4)] if len(read) < 1 else []
        pid_1.say(*more, said(PIECE, b"file"), said(SHOWN, b""))

    made = make({PAYLOAD: speaks, FILE_NAMED: shows})

    def listen(_stream: str, chunk: bytes) -> None:
        heard.append(chunk)
        read.append(made.session.file("x"))

    seen = turn(made, listen)

    assert (heard, read, value_of(seen)) == ([b"1", b"2", b"3"], [b"file"] * 3, 4)


def test_a_file_is_that_which_was_asked_for_though_a_listener_asks_for_another(
    make: Callable[..., Made],
) -> None:
    read: list[bytes] = []

    def shows(pid_1: PaperPid1, name: bytes) -> None:
        if name == b"first":
            pid_1.say(said(STDOUT, b"1"), said(PIECE, name), said(SHOWN, b""), said(STDOUT, b"2"))
        else:
            more = [answer(pid_1, 4)] if read else []
            pid_1.say(said(PIECE, name), said(SHOWN, b""), *more)

    made = make({PAYLOAD: says_nothing, FILE_NAMED: shows})

    def listen(_stream: str, _chunk: bytes) -> None:
        read.append(made.session.file("second"))

    first: list[bytes] = []

    async def test() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(made.session.turn, Source(source="1"), listen)
            await anyio.sleep(0.02)
            first.append(made.session.file("first"))

    anyio.run(test)

    assert (first, read) == ([b"first"], [b"second"] * 2)


# Its end


def test_a_stream_that_ends_in_mid_turn_is_our_fault(make: Callable[..., Made]) -> None:
    def hangs_up(pid_1: PaperPid1, _body: bytes) -> None:
        pid_1.hang_up()

    with pytest.raises(EngineFault):
        turn(make({PAYLOAD: hangs_up}))


def test_a_guest_that_ended_by_itself_is_told_as_it_ended(make: Callable[..., Made]) -> None:
    ended = said(ENDED, struct.pack(">BI?", 1, 3 << 8, True))
    seen = turn(make({PAYLOAD: says(ended, report(), said(DONE))}))

    assert (getattr(seen.ended, "code", None), seen.is_lost) == (3, True)


def test_closing_lets_its_container_go_once(make: Callable[..., Made]) -> None:
    made = make()
    turn(made)

    async def close_twice() -> None:
        await made.session.close()
        await made.session.close()

    anyio.run(close_twice)

    assert made.gone == 1

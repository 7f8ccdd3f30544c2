"""One container from the host's side: started and locked down, given its call, held to its time.

PID 1 in it is runners/container.py. It tells over the attached stream what the host's own counters
tell of a subprocess. The deadlines are kept here, and it is killed from here.
"""

import select
import ssl
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Final, get_args

import anyio
from anyio.lowlevel import checkpoint

from sandbox.backends.base import Limit, OnOutput, OnPartial, Sighting, Stream
from sandbox.backends.container_start import (
    CALL,
    KILL,
    STDIN,
    STDIN_END,
    TERMINATE,
    Container,
    encode,
)
from sandbox.backends.heard import Heard
from sandbox.backends.live_guest import LiveGuest
from sandbox.backends.payload import encode_call
from sandbox.call import Call, Function, Handler, quota_of
from sandbox.collect import fault_of_name, shown
from sandbox.errors import BadCall, EngineFault
from sandbox.policy import Policy
from sandbox.result import LeftOutFile, Usage
from sandbox.wire import InitReport, Malformed
from sandbox.wire_container import (
    Answered,
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

__all__ = ["ContainerCall", "check_version"]

END_SECONDS: Final = 30.0
"""How long PID 1 has for the files of a call that ended by itself."""
GATHER_SECONDS: Final = 2.0
"""How long PID 1 has, once it was told to kill the call, for the last output and the files."""
READ_BYTES: Final = 1 << 18
PIECE_BYTES: Final = 1 << 18


class ContainerCall(LiveGuest):
    """The call of one container: start() hands it over, finish() sees it through."""

    def __init__(self, container: Container, policy: Policy) -> None:
        """Prepare it. Nothing is sent."""
        self._container = container
        self._quota = policy.quota
        self._socket = container.attached.socket
        self._outgoing = bytearray()
        self._poll = select.epoll()
        self._poll.register(self._socket, select.EPOLLIN)
        self._heard = Heard(policy.quota)
        self._asked_at = self._ended_at = self._gone_at = 0.0
        self._kill_by = float("inf")
        self._is_asked_to_end = self._is_done = False
        self._stopped_by: Limit | None = None
        self._ended: InitReport | None = None
        self._report: ContainerReport | None = None
        self._fault = ""
        self._events = deque[Event]()
        self._files: dict[str, bytes] = {}
        self._left_out: list[LeftOutFile] = []
        self._room_bytes = policy.quota.returned_bytes

    def start(self, call: Call, on_output: OnOutput | None, on_partial: OnPartial | None) -> None:
        """Start its clock and hand the call over. Raises BadCall for another Python's bytecode."""
        check_version(call, self._container.hello.python)
        self._quota = quota_of(call, self._quota)
        self._heard.on_output, self._heard.on_partial = on_output, on_partial
        self._asked_at = time.monotonic()
        self._send(CALL, encode_call(call, self._quota))
        self._send_pieces(STDIN, call.stdin)
        self._send(STDIN_END)

    async def finish(self) -> bool:
        """See it through to the death of its last process; False if PID 1 died without a word."""
        while not self.is_over:
            await self._step(self._next_moment())
            self._keep_time()
        self._gone_at = time.monotonic()
        self._ended_at = self._ended_at or self._gone_at
        self._heard.end()
        if self._fault:
            raise EngineFault(self._fault, started="yes")
        return self._report is not None

    # Its time

    async def _wait_closely(self) -> None:
        await checkpoint()  # the engine, between, takes longer than that is good for

    async def _step(self, until: float) -> None:
        """Wait for what comes next, at most until then, and handle it."""
        with anyio.move_on_after(max(0.0, until - time.monotonic())):
            await anyio.wait_readable(self._poll.fileno())
        self._handle()

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self._is_done or bool(self._fault)

    @property
    def was_killed(self) -> bool:
        """Whether it was this side that ended it."""
        return self._stopped_by is not None

    def _next_moment(self) -> float:
        return min(self._kill_by, self._deadline() if self._is_running else float("inf"))

    @property
    def _is_running(self) -> bool:
        return self._ended is None and self._kill_by == float("inf")

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._is_done:
            return
        if now >= self._kill_by:
            self._is_done = True  # PID 1 had its time: what it did not say is lost
        elif self._is_running and now >= self._deadline():
            self._stop_for_time()

    def _ask_to_end(self) -> None:
        self._send(TERMINATE)

    def _kill(self) -> None:
        """Have PID 1 kill everything; if it does not say so soon, the engine kills it."""
        if self._kill_by == float("inf"):
            self._ended_at = self._ended_at or time.monotonic()
            self._kill_by = time.monotonic() + GATHER_SECONDS
            self._send(KILL)

    # What goes and comes

    def _send(self, kind: int, body: bytes = b"1") -> None:
        self._outgoing += encode(kind, body)
        self._write()

    def _send_pieces(self, kind: int, content: bytes) -> None:
        """Send what may be long in frames that PID 1 need not hold together."""
        for start in range(0, len(content), PIECE_BYTES):
            self._send(kind, content[start : start + PIECE_BYTES])

    def _write(self) -> None:
        try:
            while self._outgoing:
                sent = self._socket.send(memoryview(self._outgoing)[: 1 << 20])
                del self._outgoing[:sent]
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        except OSError:  # its end is read, not written
            self._outgoing.clear()
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._outgoing else 0)
        self._poll.modify(self._socket, wanted)

    def _handle(self) -> None:
        """Read all that has come, and write what is still to go."""
        while not self.is_over:
            try:
                chunk = self._socket.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except OSError as fault:
                chunk, self._fault = b"", f"the stream of a container broke: {fault}"
            if not chunk:
                self._is_done = True
                return
            self._take(chunk)
        if self._outgoing:
            self._write()

    def _take(self, chunk: bytes) -> None:
        try:
            self._events.extend(self._container.reader.feed(chunk))
        except Malformed as reason:
            self._fault = f"PID 1 of a container cannot be understood: {reason}"
            return
        while self._events:  # in this order, also where who is told of one has more read
            self._take_event(self._events.popleft())

    def _take_event(self, event: Event) -> None:
        match event:
            case Output(stream=stream, chunk=chunk):
                self._take_output(stream, chunk)
            case Answered(chunk=chunk):
                self._heard.take_answer(chunk)
            case Ended(report=report):
                self._take_end(report)
            case FileFound(path=path, content=content):
                self._take_file(path, content)
            case FileLeft(path=path, reason=reason):
                self._leave_out(path, reason)
            case ContainerReport():
                self._report = event
            case Done():
                self._is_done = True
            case Fault() | Hello() | Ready():
                self._fault = f"PID 1 of a container failed: {event}"
            case Piece() | Shown():
                self._fault = "PID 1 of a container gave a file that nobody had asked for"

    def _take_output(self, stream: Stream, chunk: bytes) -> None:
        self._heard.take_output(stream, chunk)
        if self._heard.is_over and self._is_running:
            self._stopped_by = self._stopped_by or "output"
            self._kill()

    def _take_end(self, report: InitReport) -> None:
        now = time.monotonic()
        self._ended = report
        self._ended_at = self._ended_at or now
        self._kill_by = min(self._kill_by, now + END_SECONDS)

    def _take_file(self, path: bytes, content: bytes) -> None:
        """Keep a file whose name may be shown and for which there is room. Nothing is trusted."""
        name = path.decode(errors="surrogateescape")
        faults = [fault for part in name.split("/") if (fault := fault_of_name(part))]
        fault = faults[0] if faults else ""
        self._room_bytes -= len(content)
        if not fault and (self._room_bytes < 0 or len(self._files) >= self._quota.returned_files):
            fault = "there is no room for it"
        if fault:
            self._leave_out(path, fault)
        else:
            self._files[name] = content

    def _leave_out(self, path: bytes, reason: str) -> None:
        if len(self._left_out) < MOST_LEFT_OUT:
            name = shown(path.decode(errors="surrogateescape"))
            self._left_out.append(LeftOutFile(path=name, reason=shown(reason)))

    # What was seen

    def sighting(self, *, prepared_seconds: float, is_out_of_memory: bool) -> Sighting:
        """Say what was seen. is_out_of_memory: the engine saw the kernel kill for memory."""
        report = self._report or NO_REPORT
        hit = _limits(report.limits_hit)
        if is_out_of_memory:
            hit.add("memory")
        stopped_by = next(iter(_limits((report.stopped_by or "",))), None)
        return Sighting(
            claim=self._heard.claim(),
            ended=self._ended,
            stopped_by=self._stopped_by or stopped_by,
            limits_hit=frozenset(hit),
            limits_reached=frozenset(_limits(report.limits_reached)),
            counted=frozenset({"memory", "processes"}),
            stdout=self._heard.stdout,
            stderr=self._heard.stderr,
            usage=self._usage(report),
            prepared_seconds=prepared_seconds,
            ran_seconds=self._ended_at - self._asked_at,
            torn_down_seconds=time.monotonic() - self._ended_at,
            partial=self._heard.partial,
            notes=self._heard.notes,
            files=self._files,
            left_out=tuple(self._left_out),
        )

    def _usage(self, report: ContainerReport) -> Usage:
        return Usage(
            wall_seconds=self._ended_at - self._asked_at,
            cpu_seconds=report.cpu_seconds,
            peak_memory_bytes=report.peak_memory_bytes,
            peak_processes=report.peak_processes,
            stdout_bytes=self._heard.stdout.total,
            stderr_bytes=self._heard.stderr.total,
            disk_bytes=report.disk_bytes,
        )

    def give_back(self) -> None:
        """Tell nobody any more, and let go of the stream; PID 1 ends with it."""
        self._heard.hush()
        with suppress(OSError):
            self._poll.close()
        self._container.attached.close()


MOST_LEFT_OUT: Final = 100
NO_REPORT: Final = ContainerReport(
    cpu_seconds=0.0,
    peak_memory_bytes=0,
    peak_processes=0,
    disk_bytes=0,
    limits_hit=(),
    limits_reached=(),
    stopped_by=None,
)


def _limits(names: tuple[str, ...]) -> set[Limit]:
    known: tuple[Limit, ...] = get_args(Limit)
    return {limit for limit in known if limit in names}


def check_version(call: Call, python: tuple[int, int]) -> None:
    """Refuse code by value for another version of Python: its bytecode means nothing there."""
    if isinstance(call, Function | Handler) and call.pickled and python != sys.version_info[:2]:
        here, there = ".".join(map(str, sys.version_info[:2])), ".".join(map(str, python))
        message = (
            f"the function {call.name} would go by value from Python {here} to Python {there} in "
            "the image: use an image with the same version, or name an installed function"
        )
        raise BadCall(message)

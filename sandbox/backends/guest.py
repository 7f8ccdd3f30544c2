"""One guest from the host's side: sends it the call, drains it, holds it to its time, ends it.

Everything that can happen to a guest arrives at one epoll descriptor, so a call needs one wait at
a time, no task of its own per pipe, and no thread.
"""

import base64
import json
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread

from sandbox.backends.base import Limit, OnOutput, Sighting
from sandbox.backends.cgroups import CallGroup
from sandbox.backends.watchdog import Watchdog
from sandbox.backends.zygote import Zygote
from sandbox.call import Call, Command, Function, Source
from sandbox.collect import Collected, collect_files, usage
from sandbox.errors import EngineFault
from sandbox.policy import Quota
from sandbox.result import LeftOutFile, Usage
from sandbox.wire import (
    FrameReader,
    InitReport,
    Malformed,
    OutputBuffer,
    parse_answer,
    parse_partials,
    parse_report,
)

__all__ = ["Guest"]

LAUNCH_SECONDS: Final = 30.0
END_SECONDS: Final = 10.0
STRAGGLER_SECONDS: Final = 0.1
"""How long what the main process left behind may go on, for the last of its output."""
WATCH_SECONDS: Final = 0.01
LEAST_LOOK_SECONDS: Final = 0.005
READ_BYTES: Final = 1 << 18
ANSWER_SLACK_BYTES: Final = 1 << 18
"""Room for an error's text beside quota.result_bytes."""
INLINE_BYTES, INLINE_FILES = 1 << 20, 100
"""A work folder up to this size is read without leaving the event loop."""
OWN_FILES: Final = 4
"""Inodes of the scratch space that are there before the guest is."""


@dataclass(kw_only=True)
class _Clock:
    """When things happened, in seconds of the monotonic clock; 0.0 if they did not yet."""

    launched: float
    ready: float = 0.0
    ended: float = 0.0
    gone: float = 0.0


class Guest:
    """A guest for one call. launch() brings it up, run() gives it the call, close() ends it."""

    def __init__(self, zygote: Zygote, group: CallGroup | None) -> None:
        """Make the pipes. Nothing is started."""
        self._zygote = zygote
        self._quota: Quota = zygote.plan.policy.quota
        self._group = group
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._to_send: dict[int, memoryview] = {}
        self._clock = _Clock(launched=time.monotonic())
        self._status, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.setblocking(False)  # noqa: FBT003 - positional only
        self._pidfd = self._work_folder = -1
        self._watchdog: Watchdog | None = None
        self._is_ready = self._is_reaped = self._is_killed = False
        self._fault = ""
        self._ended: InitReport | None = None
        self._linger_until = 0.0
        self._stopped_by: Limit | None = None
        self._is_told_to_end = False
        self._cpu_seconds = 0.0
        self._next_look = 0.0
        self._hit: set[Limit] = set()
        self._reached: set[Limit] = set()
        self._on_output: OnOutput | None = None
        self.stdout = OutputBuffer(self._quota.output_bytes)
        self.stderr = OutputBuffer(self._quota.output_bytes)
        self._frames = FrameReader(max(self._quota.result_bytes, 1024) + ANSWER_SLACK_BYTES)
        self._listen(self._status.fileno(), self._take_status)

    # Bringing it up

    async def launch(self) -> None:
        """Have the zygote clone it. The call is sent by run()."""
        theirs: list[int] = []
        try:
            theirs = self._make_pipes()
            entrances = self._group.open_entrances() if self._group else []
            theirs += entrances
            await self._zygote.request([self._theirs.fileno(), *theirs])
        except OSError as error:
            message = f"a guest cannot be started: {error}"
            raise EngineFault(message) from error
        finally:
            for descriptor in theirs:
                os.close(descriptor)
            self._theirs.close()

    def _make_pipes(self) -> list[int]:
        """Make stdin, stdout, stderr, payload and answer; give the guest's ends in that order."""
        ours: list[int] = []
        theirs: list[int] = []
        for is_inward in (True, False, False, True, False):
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            theirs.append(read_end if is_inward else write_end)
            ours.append(write_end if is_inward else read_end)
            os.set_blocking(ours[-1], False)  # noqa: FBT003 - positional only
        self._stdin, out, err, self._payload, answer = ours
        self._listen(out, lambda: self._drain(out, "stdout", self.stdout))
        self._listen(err, lambda: self._drain(err, "stderr", self.stderr))
        self._listen(answer, lambda: self._read_answer(answer))
        return theirs

    def _listen(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    # Giving it the call

    async def run(self, call: Call, on_output: OnOutput | None) -> Sighting:
        """Send the call, see it through to the death of its last process, and say what was seen."""
        self._on_output = on_output
        self._send(self._payload, encode_call(call, self._quota))
        self._send(self._stdin, call.stdin)
        asked = time.monotonic()
        while not self._is_reaped:
            await self._step()
        self._drain_rest()
        self._clock.gone = time.monotonic()
        collected = await self._collect()
        return self._sighting(collected, asked)

    def _send(self, descriptor: int, content: bytes) -> None:
        if not content:
            os.close(descriptor)
            return
        self._to_send[descriptor] = memoryview(content)
        self._handlers[descriptor] = lambda: self._write_more(descriptor)
        self._poll.register(descriptor, select.EPOLLOUT)

    def _write_more(self, descriptor: int) -> None:
        """Write what fits; a guest that does not read costs nothing but this buffer."""
        rest = self._to_send[descriptor]
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            return
        except OSError:
            rest = rest[:0]
        self._to_send[descriptor] = rest
        if not rest:
            self._forget(descriptor)

    async def _step(self) -> None:
        """Wait for the next event or the next moment to act, and do what it asks for."""
        with anyio.move_on_after(max(0.0, self._next_moment() - time.monotonic())):
            await anyio.wait_readable(self._poll.fileno())
        for descriptor, _ in self._poll.poll(0):
            if handler := self._handlers.get(descriptor):
                handler()
        if self._fault:
            raise EngineFault(self._fault, started="unknown" if self._is_ready else "no")
        self._keep_time()

    def _next_moment(self) -> float:
        """Give when something must be done though nothing happens."""
        if self._is_killed:
            return self._clock.ended + END_SECONDS
        if not self._is_ready:
            return self._clock.launched + LAUNCH_SECONDS
        if self._ended:
            return self._linger_until
        return min(self._deadline(), self._next_look)

    def _deadline(self) -> float:
        grace = self._quota.grace_seconds if self._is_told_to_end else 0.0
        return self._clock.ready + self._quota.wall_seconds + grace

    def _keep_time(self) -> None:
        """Act on what is due: the deadline, a look at the counters, the end of what lingers."""
        now = time.monotonic()
        if self._is_killed or not self._is_ready:
            if now >= self._next_moment():
                what = "did not die" if self._is_killed else "did not start"
                message = f"a guest {what} within {END_SECONDS:.0f} s"
                raise EngineFault(message, started="unknown")
            return
        if self._ended:
            if now >= self._linger_until:
                self._kill()
            return
        if now >= self._next_look:
            self._look(now)
        if now >= self._deadline():
            self._stop_for_time()

    def _stop_for_time(self) -> None:
        """At the deadline ask, if the policy gives grace; at the end of the grace kill."""
        self._stopped_by = self._stopped_by or "wall"
        if self._is_told_to_end or not self._quota.grace_seconds:
            self._kill()
            return
        self._is_told_to_end = True
        with suppress(OSError):
            self._status.send(b"T")

    def _look(self, now: float) -> None:
        """Look at what the tree used; look again before it can have used the rest."""
        cpu = self._used_cpu_seconds()
        if cpu >= self._quota.cpu_seconds:
            self._stop("cpu")
        cpus = self._zygote.plan.policy.quota.cpus
        pause = max(LEAST_LOOK_SECONDS, (self._quota.cpu_seconds - cpu) / cpus)
        self._next_look = now + (min(pause, WATCH_SECONDS) if self._watchdog else pause)

    def _used_cpu_seconds(self) -> float:
        if self._group:
            self._cpu_seconds = self._group.cpu_seconds()
        elif self._watchdog:
            sample = self._watchdog.look(usage(self._work_folder).bytes)
            self._cpu_seconds = self._watchdog.cpu_seconds
            if sample.memory_bytes > self._quota.memory_bytes:
                self._stop("memory")
            if sample.processes >= self._quota.processes:
                self._reached.add("processes")
        return self._cpu_seconds

    def _stop(self, limit: Limit) -> None:
        """End the call for a limit; the first one is the reason."""
        self._hit.add(limit)
        if not self._is_killed and not self._ended:
            self._stopped_by = self._stopped_by or limit
            self._kill()

    def _kill(self) -> None:
        """Kill PID 1: the kernel kills all that is in its namespace with it, pid_namespaces(7)."""
        if self._is_killed or self._pidfd < 0:
            return
        self._is_killed = True
        self._clock.ended = self._clock.ended or time.monotonic()
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    # What comes from it

    def _take_status(self) -> None:
        """Take what the zygote and PID 1 say; both are ours, but nothing is believed unread."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._status, 512, 1)
        except BlockingIOError:
            return
        except OSError:
            message, descriptors = b"", []
        match message[:1]:
            case b"S":
                self._pidfd = descriptors[0]
                self._become_ready()
            case b"R":
                self._work_folder = descriptors[0]
                self._become_ready()
            case b"\x01":
                self._take_end(message)
            case b"X":
                self._is_reaped = True
            case b"F":
                self._fault = f"a guest could not be locked down: {message[1:].decode(errors='replace')}"
            case _:
                self._zygote.is_usable = False
                self._fault = "the zygote ended while the call ran"

    def _become_ready(self) -> None:
        """Start the clock once both halves are there; they come from two processes, in any order."""
        if self._pidfd < 0 or self._work_folder < 0:
            return
        self._is_ready = True
        self._clock.ready = self._next_look = time.monotonic()
        cpus = self._quota.cpus
        self._next_look += self._quota.cpu_seconds / cpus
        if not self._group:
            self._watchdog = Watchdog(_pid_of(self._pidfd), self._quota.memory_bytes)
            self._next_look = self._clock.ready + LEAST_LOOK_SECONDS

    def _take_end(self, message: bytes) -> None:
        """The main process has ended; what it left behind gets a moment, then goes too."""
        self._clock.ended = time.monotonic()
        try:
            self._ended = parse_report(message[:5])
        except Malformed as reason:
            self._fault = str(reason)
        if self._watchdog:
            self._used_cpu_seconds()
        is_alone = message[5:] == b"\x01"
        self._linger_until = self._clock.ended + (0.0 if is_alone else STRAGGLER_SECONDS)

    def _drain(self, descriptor: int, name: Any, buffer: OutputBuffer) -> bool:
        """Take output; over the limit end the call, but never stop draining."""
        try:
            chunk = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._forget(descriptor)
            return False
        buffer.append(chunk)
        if self.stdout.total + self.stderr.total > self._quota.output_bytes:
            self._stop("output")
        if self._on_output:
            self._on_output(name, chunk)
        return True

    def _read_answer(self, descriptor: int) -> bool:
        try:
            chunk = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._forget(descriptor)
            return False
        self._frames.feed(chunk)
        return True

    def _drain_rest(self) -> None:
        """Empty the pipes after the last writer is dead: what is in them is all there will be."""
        for descriptor in [*self._handlers]:
            if descriptor in self._to_send or descriptor == self._status.fileno():
                continue
            while descriptor in self._handlers and self._handlers[descriptor]():
                pass
        self._frames.close()

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._handlers[descriptor]
        self._to_send.pop(descriptor, None)
        os.close(descriptor)

    # What was seen

    async def _collect(self) -> Collected:
        """Copy out what is in the work folder, by the descriptor that PID 1 sent before the call."""
        used = usage(self._work_folder)
        if used.is_full:
            self._reached.add("disk")
        self._disk_bytes = used.bytes
        count, total = self._quota.returned_files, self._quota.returned_bytes
        if used.files <= OWN_FILES:
            return Collected({}, ())
        if used.bytes <= INLINE_BYTES and used.files <= INLINE_FILES:
            return collect_files(self._work_folder, count=count, total_bytes=total)
        with anyio.CancelScope(shield=True):
            return await anyio.to_thread.run_sync(
                lambda: collect_files(self._work_folder, count=count, total_bytes=total)
            )

    def _sighting(self, collected: Collected, asked: float) -> Sighting:
        clock, quota = self._clock, self._quota
        return Sighting(
            claim=parse_answer(self._frames, depth=quota.result_depth),
            ended=self._ended,
            stopped_by=self._stopped_by,
            limits_hit=frozenset(self._hit | (self._group.limits_hit() if self._group else set())),
            limits_reached=frozenset(self._reached),
            stdout=self.stdout,
            stderr=self.stderr,
            usage=self._usage(),
            prepared_seconds=max(0.0, clock.ready - asked),
            ran_seconds=clock.ended - clock.ready,
            torn_down_seconds=clock.gone - clock.ended,
            partial=parse_partials(self._frames, depth=quota.result_depth),
            files=collected.files,
            left_out=tuple(
                LeftOutFile(path=each.path, reason=each.reason) for each in collected.left_out
            ),
        )

    def _usage(self) -> Usage:
        group, watchdog = self._group, self._watchdog
        return Usage(
            wall_seconds=self._clock.ended - self._clock.ready,
            cpu_seconds=group.cpu_seconds() if group else self._cpu_seconds,
            peak_memory_bytes=_peak(group, watchdog),
            peak_processes=group.peak_processes() if group else _watched(watchdog),
            stdout_bytes=self.stdout.total,
            stderr_bytes=self.stderr.total,
            disk_bytes=self._disk_bytes,
        )

    # Its end

    async def close(self) -> None:
        """Kill it if it lives, wait until its last process is dead, and give everything back."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(END_SECONDS):
            self._on_output = None
            while not self._is_reaped and not self._fault:
                self._kill()
                with suppress(EngineFault):
                    await self._step()
        self._release()

    def _release(self) -> None:
        for descriptor in [*self._handlers]:
            if descriptor != self._status.fileno():
                self._forget(descriptor)
        self._status.close()
        self._poll.close()
        for descriptor in (self._pidfd, self._work_folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._pidfd = self._work_folder = -1


def _peak(group: CallGroup | None, watchdog: Watchdog | None) -> int:
    if group:
        return group.peak_memory_bytes()
    return watchdog.peak_memory_bytes if watchdog else 0


def _watched(watchdog: Watchdog | None) -> int:
    return watchdog.peak_processes if watchdog else 0


def _pid_of(pidfd: int) -> int:
    """Give the process number behind a descriptor, as this process sees it, pidfd_open(2)."""
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        rows = dict(line.split(":", 1) for line in file)
    return int(rows["Pid"])


def encode_call(call: Call, quota: Quota) -> bytes:
    """Write a call as the guest reads it: length, JSON, then the files one after the other."""
    document: dict[str, Any] = {
        "files": [[name, len(content)] for name, content in call.files.items()],
        "result_bytes": quota.result_bytes,
        "result_depth": quota.result_depth,
        "arguments": [],
    }
    match call:
        case Source():
            document |= {"kind": "python", "source": call.source, "inputs": dict(call.inputs)}
            document |= {"name": call.name, "arguments": list(call.arguments)}
        case Function():
            document |= {"kind": "function", "name": call.name, "arguments": list(call.arguments)}
            document |= {"keywords": dict(call.keywords)}
            document |= {"pickled": base64.b64encode(call.pickled).decode()}
        case Command():
            document |= {"kind": "command", "argv": list(call.argv)}
    body = json.dumps(document).encode()
    return b"".join((struct.pack(">I", len(body)), body, *call.files.values()))

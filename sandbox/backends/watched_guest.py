"""A guest whose calls to the kernel are put to a watcher first; see runners/watcher.py.

The watcher is a process of its own beside the zygote. It gets a descriptor of the guest's PID 1,
takes the listener from there, and writes lines, which are read at the end as all guest bytes are.
Should it end before the guest, the guest's calls fail, and so does this: nothing goes on unseen.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, Final

import anyio
import anyio.to_thread

from sandbox.backends.base import OnOutput, WatchedSighting
from sandbox.backends.cgroups import CallGroup
from sandbox.backends.channels import UNPRIVILEGED_USER
from sandbox.backends.guest import Guest
from sandbox.backends.heard import Heard
from sandbox.backends.limits import filter_documents
from sandbox.backends.meter import Meter
from sandbox.backends.payload import encode_watched_call
from sandbox.backends.seccomp import THIS_MACHINE, compile_filter
from sandbox.backends.seccomp_lists import call_numbers, describe, read_unwatched
from sandbox.backends.zygote import Zygote, wait_for_end
from sandbox.call import Call, Command
from sandbox.errors import EngineFault
from sandbox.policy import FullNetwork, ListedPrograms
from sandbox.record import Record, Sample
from sandbox.shipped import RUNNERS
from sandbox.wire_record import CutShort, Naming, Watched, parse_record

__all__ = ["WatchedGuest"]

LINES_BYTES: Final = 40 << 20
"""More than a watcher ever writes."""
READY: Final = b'"ready"\n'
END: Final = b'"end"\n'
SAMPLE_SECONDS: Final = 0.05
MOST_SAMPLES: Final = 2_000
START_SECONDS: Final = 20.0
LAST_WORDS_SECONDS: Final = 5.0


class WatchedGuest(Guest):
    """A guest for one call that is watched: watch() instead of start() and finish()."""

    _encode = staticmethod(encode_watched_call)

    def __init__(self, zygote: Zygote, group: CallGroup | None) -> None:
        """Prepare it. Nothing is started. The group is the guest's from here on."""
        super().__init__(zygote, group)
        self._heard = Heard(self._quota, is_watched=True)
        self._lines = bytearray()
        self._is_watcher_gone = False
        self._samples: list[Sample] = []
        self._sample_pause = max(SAMPLE_SECONDS, self._quota.wall_seconds / MOST_SAMPLES)

    async def watch(self, call: Call, on_output: OnOutput | None) -> WatchedSighting:
        """Start a watcher, then the call; see both through to their end. Raises EngineFault."""
        self._begun_at = time.monotonic()
        while not self._is_ready:
            await self._step(self._last_moment())
        async with self._watcher():
            while not self._lines.startswith(READY):
                await self._step(self._begun_at + START_SECONDS)
                self._check_start()
            await self.start(call, on_output, None)
            sighting = await self.finish()
            await self._hear_watcher_out()
        watched = Watched(
            lines=self._lines,
            evidence=self._heard.evidence,
            samples=tuple(self._samples),
            name=_name_of(call),
            asked_at=self._asked_at,
            seconds=sighting.ran_seconds,
        )
        record = await anyio.to_thread.run_sync(_read, watched, abandon_on_cancel=False)
        return WatchedSighting(sighting, record)

    # The watcher

    @asynccontextmanager
    async def _watcher(self) -> AsyncGenerator[None]:
        """Have a watcher beside the guest, and none behind it."""
        process = self._launch_watcher()
        ended = os.pidfd_open(process.pid)
        self._channels.on_ready(ended, partial(self._take_watcher_end, ended))
        try:
            yield
        finally:
            self._channels.stop_handling(ended)
            with anyio.CancelScope(shield=True):
                if not self._is_watcher_gone:
                    self._kill()  # first who would go on unseen
                    process.kill()
                await wait_for_end(process)
            os.close(ended)

    def _launch_watcher(self) -> subprocess.Popen[bytes]:
        """Start it with a descriptor of PID 1, which has the listener. Raises EngineFault."""
        python = self._zygote.plan.interpreter.executable
        argv = [python, "-I", "-S", str(RUNNERS), "watcher", str(self._pidfd)]
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            with tempfile.TemporaryFile() as told:
                told.write(json.dumps(self._configuration()).encode())
                told.seek(0)
                process = subprocess.Popen(
                    argv,
                    stdin=told,
                    stdout=theirs,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[self._pidfd],
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
        except OSError as error:
            os.close(ours)
            message = f"a watcher cannot be started: {error}"
            raise EngineFault(message) from error
        finally:
            os.close(theirs)
        self._channels.adopt_reader(ours, self._take_lines)
        return process

    def _configuration(self) -> dict[str, Any]:
        policy = self._zygote.plan.policy
        programs = policy.programs
        documents = filter_documents(policy, is_counted=self._group is not None)
        return {
            "filter": compile_filter(documents).hex(),
            "numbers": call_numbers()[THIS_MACHINE],
            "listener": int.from_bytes(self._listener, "big"),
            "user": UNPRIVILEGED_USER,
            "own_network": not isinstance(policy.network, FullNetwork),
            "programs": programs.allow if isinstance(programs, ListedPrograms) else None,
        }

    def _take_lines(self, chunk: bytes) -> None:
        if len(self._lines) < LINES_BYTES:
            self._lines += chunk
        if not self._asked_at:
            self._channels.wake()

    def _take_watcher_end(self, descriptor: int) -> None:
        self._channels.stop_handling(descriptor)
        self._is_watcher_gone = True
        self._channels.wake()

    def _check_start(self) -> None:
        if self._is_watcher_gone or time.monotonic() > self._begun_at + START_SECONDS:
            message = "a watcher could not start: is ptrace(2) of one's own processes allowed here?"
            raise EngineFault(message)

    async def _step(self, until: float) -> None:
        """Wait for what comes next. Raises EngineFault also when the watcher ended too early."""
        await super()._step(until)
        if self._is_watcher_gone and not self.is_over and not self._is_killed and self._asked_at:
            self._channels.drain()
            if not self._lines.endswith(END):
                message = "the watcher ended before the call: what it would have seen has failed"
                raise EngineFault(message, started="yes")

    async def _hear_watcher_out(self) -> None:
        """Take its last lines: it ends by itself when nobody is left to watch."""
        until = time.monotonic() + LAST_WORDS_SECONDS
        while not self._is_watcher_gone and time.monotonic() < until:
            await self._channels.wait(until)
        self._channels.drain()

    # Its use of resources

    def _next_moment(self) -> float:
        return min(super()._next_moment(), self._next_sample_at())

    def _next_sample_at(self) -> float:
        is_over = self._is_killed or self._ended or not self._meter
        last = self._samples[-1].at if self._samples else -self._sample_pause
        return float("inf") if is_over else self._asked_at + last + self._sample_pause

    def _keep_time(self) -> None:
        super()._keep_time()
        if self._meter and time.monotonic() >= self._next_sample_at():
            self._samples.append(self._sample(self._meter))

    def _sample(self, meter: Meter) -> Sample:
        return Sample(
            at=round(time.monotonic() - self._asked_at, 4),
            cpu_seconds=round(meter.cpu_seconds(), 4),
            memory_bytes=meter.memory_bytes(),
            processes=meter.processes(),
            output_bytes=self._heard.stdout.total + self._heard.stderr.total,
        )


def _name_of(call: Call) -> str:
    return " ".join(call.argv) if isinstance(call, Command) else call.name


def _read(watched: Watched) -> Record:
    """Read the record. Raises EngineFault where it was cut short."""
    try:
        return parse_record(watched, _naming())
    except CutShort:
        message = "the watcher ended before it had written all: the record is not whole"
        raise EngineFault(message, started="yes") from None


@cache
def _naming() -> Naming:
    """Say what the numbers of calls are called, and why they are refused."""
    documents = [each for each in describe() if each.action != "allow"]
    return Naming(
        calls={number: name for name, number in call_numbers()[THIS_MACHINE].items()},
        reasons={each.name: each.why for each in documents},
        unwatched=tuple(sorted(name for entry in read_unwatched() for name in entry.names)),
    )

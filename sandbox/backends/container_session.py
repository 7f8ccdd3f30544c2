"""One session in a container: PID 1 hands its turns on, and tells what each used.

What the host's own counters tell of a session beside it, PID 1 tells here when it is asked to rest.
"""

import errno
import os
import re
import select
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

import anyio

from sandbox.backends.base import OnOutput, Sighting
from sandbox.backends.container import ContainerCall, check_version
from sandbox.backends.container_start import (
    CALL,
    FILE_NAMED,
    FILES,
    INTERRUPT,
    PAYLOAD,
    REST,
    TURN,
    Container,
)
from sandbox.backends.heard import Heard
from sandbox.backends.payload import encode_session
from sandbox.backends.session_turns import ENDED, SessionTurns
from sandbox.call import Call
from sandbox.errors import CannotEnforce, EngineFault, SessionLost
from sandbox.policy import Policy
from sandbox.result import LeftOutFile
from sandbox.wire import InitReport
from sandbox.wire_container import Answered, Event, Output, Piece, Shown

__all__ = ["ContainerSession"]

SHOW_SECONDS: Final = 10.0
"""How long PID 1 has to hand over the files of a session."""
REST_SECONDS: Final = 10.0
"""How long it has to tell what a turn used."""
_NUMBER: Final = re.compile(r"[0-9]{1,3}")

LookForDeath = Callable[["ContainerSession"], Awaitable[bool]]
"""Says whether the kernel killed PID 1 for memory. Raises EngineFault for another killer."""
LetGo = Callable[["ContainerSession"], Awaitable[None]]
"""Has its container removed."""


class _Files(NamedTuple):
    """What PID 1 handed over at once: many files, or the content of one, and what it left out."""

    files: dict[str, bytes]
    content: bytes
    left_out: list[LeftOutFile]


class ContainerSession(SessionTurns, ContainerCall):
    """A session whose container was started for it and lives until close()."""

    def __init__(
        self, container: Container, policy: Policy, look_for_death: LookForDeath, let_go: LetGo
    ) -> None:
        """Make the guest of the container a session's."""
        super().__init__(container, policy)
        self._look_for_death = look_for_death
        self._let_go = let_go
        self._is_out_of_memory = False
        self._asks_for_files = self._awaits_files = False
        self._found = bytearray()
        self._later = deque[Event]()
        self._taking = 0
        # A task may wait for the container while another has read what it said.
        self._news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._news, select.EPOLLIN)
        self._lives_until = time.monotonic() + self._quota.life_seconds
        self._send(CALL, encode_session())

    async def turn(self, call: Call, on_output: OnOutput | None) -> Sighting:
        """Run one call in it. Raises SessionLost, EngineFault, BadCall for another's bytecode."""
        check_version(call, self._container.hello.python)
        return await super().turn(call, on_output)

    async def fork(self) -> "ContainerSession":
        """Raise CannotEnforce: the kernel copies processes, and no container."""
        message = "branches of a session need backend='subprocess': a container is not copied"
        raise CannotEnforce(message)

    # What its turns ask of it

    @property
    def _is_gone(self) -> bool:
        return self.is_over or not self._is_running

    def _hear(self) -> None:
        self._handle()

    def _send_turn(self, body: bytes) -> None:
        self._report = None
        self._send(TURN)
        self._send_pieces(PAYLOAD, body)

    def _send_interrupt(self) -> None:
        self._send(INTERRUPT)

    async def _hear_the_rest(self) -> None:
        """Have PID 1 say what the turn used; what the guest wrote before its answer comes first."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(REST_SECONDS):
            self._send(REST)
            while not self._report and not self.is_over:
                await self._step(float("inf"))
        if not self._report:
            self._kill()

    async def _end_all(self) -> None:
        self._kill()
        while not self.is_over:
            await self._step(self._kill_by)
            self._keep_time()
        if self._fault:
            raise EngineFault(self._fault, started="yes")
        if not self._report:
            self._is_out_of_memory = await self._look_for_death(self)

    def _turn_sighting(self, *, lives_on: bool) -> Sighting:
        self._ended_at = self._ended_at or time.monotonic()
        seen = self.sighting(prepared_seconds=0.0, is_out_of_memory=self._is_out_of_memory)
        return replace(seen, files={}, left_out=(), lives_on=lives_on, is_lost=not lives_on)

    def _rest_now(self) -> None:
        self._heard = Heard(self._quota)

    async def _close(self) -> None:
        self.give_back()  # first: an engine that cannot get rid of output waits for its reader
        os.close(self._news)
        await self._let_go(self)

    # Its files

    def files(self) -> Mapping[str, bytes]:
        """Have the work folder copied out as it is now, within the quota. Blocks for a moment."""
        self._room_bytes = self._quota.returned_bytes
        return self._show(FILES).files

    def file(self, name: str) -> bytes:
        """Have one file of the work folder copied out. Raises OSError. Blocks for a moment."""
        if "\0" in name:
            message = "embedded null byte"  # as open(2) has no way to say it
            raise ValueError(message)
        shown = self._show(FILE_NAMED, os.fsencode(name))
        if shown.left_out:
            raise _fault_of(name, shown.left_out[0].reason)
        return shown.content

    def _show(self, order: int, body: bytes = b"1") -> "_Files":
        """Ask PID 1 and wait, though a turn runs whose task waits as well.

        What the guest says meanwhile is taken afterwards: who is told of it may ask for files too.
        """
        self._check_readable()
        self._asks_for_files = self._awaits_files = True
        self._files, self._found, self._left_out = {}, bytearray(), []
        self._send(order, body)
        self._wait_for_files(time.monotonic() + SHOW_SECONDS)
        is_missing, self._asks_for_files = self._awaits_files, False
        shown = _Files(self._files, bytes(self._found), self._left_out)
        self._events.extendleft(reversed(self._later))
        self._later.clear()
        if not self._taking:
            self._take(b"")
        os.eventfd_write(self._news, 1)
        if is_missing:
            self._lose(ENDED if self.is_over else "it did not hand over its files")
            self._kill()
            raise SessionLost(self._why_lost)
        return shown

    def _wait_for_files(self, deadline: float) -> None:
        ready = select.poll()
        ready.register(self._poll.fileno(), select.POLLIN)
        while self._awaits_files and not self.is_over and time.monotonic() < deadline:
            ready.poll(max(0.0, deadline - time.monotonic()) * 1000)
            self._handle()

    def _handle(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._news)
        super()._handle()

    def _take(self, chunk: bytes) -> None:
        self._taking += 1
        try:
            super()._take(chunk)
        finally:
            self._taking -= 1

    def _take_event(self, event: Event) -> None:
        match event:
            case Shown():
                self._awaits_files = False
            case Output() | Answered() if self._asks_for_files:
                self._later.append(event)
            case Piece(content=content) if len(self._found) < self._quota.disk_bytes:
                self._found += content
            case _:
                super()._take_event(event)

    def _take_end(self, report: InitReport) -> None:
        was_killed = self._kill_by < float("inf")
        super()._take_end(report)
        if was_killed:
            self._ended = None  # as nobody tells of a session beside the host: it did not end


def _fault_of(name: str, reason: str) -> OSError:
    """Make an error of what PID 1 said of a file that it did not give."""
    number = int(reason) if _NUMBER.fullmatch(reason) else errno.EIO
    words = os.strerror(number)
    if number != errno.ENOENT:
        words = f"it cannot be copied out: {words}"
    return OSError(number, words, name)

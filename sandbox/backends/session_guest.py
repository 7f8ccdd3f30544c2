"""One guest of a session: it keeps its state, and answers one turn after the other.

What it says is a claim, as with every guest; what the host sees is its death, its counters and its
clock. A turn over its time is interrupted, and goes alone if the program lets it; else all goes.
"""

import os
import secrets
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

import anyio

from sandbox.backends.base import Limit, OnOutput, Sighting
from sandbox.backends.guest import Guest
from sandbox.backends.heard import Heard
from sandbox.backends.limits import backstop_seconds
from sandbox.backends.meter import Meter
from sandbox.backends.payload import encode_session, encode_turn
from sandbox.backends.processes import namespace_of, pid_of, signal_main
from sandbox.backends.processors import Processors
from sandbox.backends.waiting import under_way
from sandbox.backends.zygote import Zygote
from sandbox.call import Call, Command
from sandbox.collect import Collected, collect_files, read_file, usage
from sandbox.errors import SessionLost
from sandbox.wire import MainExited, MainSignaled, NoAnswer, Returned

__all__ = ["SessionGuest"]

INTERRUPT_SECONDS: Final = 0.5
"""How long a program has to answer an interrupt before all of its session is killed."""


TOKEN_BYTES: Final = 8
EncodeTurn: TypeAlias = Callable[[str], bytes]
"""Writes a turn with the token that its answer begins with: a late one is not the next turn's."""
NOTHING_COLLECTED: Final = Collected({}, ())


def _as_of_a_command(seen: Sighting, claim: Returned) -> Sighting:
    """Take the end of a command's process from the session, whose child it was."""
    code = claim.value
    if not isinstance(code, int) or not -64 <= code <= 255:
        return replace(seen, claim=NoAnswer("the end of a command is no exit code"))
    ended = MainExited(code) if code >= 0 else MainSignaled(-code)
    return replace(seen, claim=NoAnswer("it was a command"), ended=ended)


class SessionGuest(Guest):
    """A guest that was launched and lives until close(): open() once, then turn() after turn()."""

    _refused_before: Mapping[Limit, int]
    _interrupted_at = 0.0
    _lives_until = 0.0
    _why_lost = ""
    _is_closed = False
    _deadlines: dict["SessionGuest", float]
    gone_branches: list[str]
    """Folders of its branches that are closed: it removes them when it is forked next."""
    on_close: "Callable[[SessionGuest], None] | None" = None
    """Called once when it is closed."""

    def _make_answer_channel(self) -> int:
        """Make a socket instead of a pipe: descriptors of branches go the other way."""
        self._deadlines = {}
        self.gone_branches = []
        self._turns = anyio.Lock(fast_acquire=True)
        self._talk, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._channels.adopt_reader(os.dup(self._talk.fileno()), self._take_answer)
        return theirs.detach()

    def _take_answer(self, chunk: bytes) -> None:
        super()._take_answer(chunk)
        if self._heard.is_answered:
            self._channels.wake()

    # Its branches, which live within it

    @property
    def zygote(self) -> Zygote:
        """What it was cloned from."""
        return self._zygote

    @property
    def root(self) -> "SessionGuest":
        """The session in whose guest it lives: itself, but for a branch."""
        return self

    @property
    def lives_until(self) -> float:
        """When its time is up, on the monotonic clock."""
        return self._lives_until

    async def ask_for_branch(self, encode: EncodeTurn, descriptors: list[int]) -> Sighting:
        """Have it fork itself, the copy with these descriptors. Raises as turn() does."""
        self._check_lives()
        try:
            socket.send_fds(self._talk, [b"F"], descriptors)
        except OSError as error:  # it has closed its end, or has not read what came before
            self._lose("it cannot be told to fork")
            self._kill()
            raise SessionLost(self._why_lost) from error
        return await self._ask(encode, None)

    def is_kin(self, pidfd: int) -> bool:
        """Say whether a live process is one of this guest's: of the namespace of its PID 1."""
        try:
            return namespace_of(pid_of(pidfd)) == namespace_of(pid_of(self._pidfd))
        except (OSError, ValueError):
            return False

    def has_on_disk(self, folder: int) -> bool:
        """Say whether a descriptor is of a folder on this guest's own file system."""
        status = os.fstat(folder)
        return stat.S_ISDIR(status.st_mode) and status.st_dev == os.fstat(self._work_folder).st_dev

    def let_branch_live(self, branch: "SessionGuest", seconds: float) -> None:
        """Have the whole guest live as long as the one of the session and its branches that may."""
        self._deadlines[branch] = time.monotonic() + seconds
        left = max(self._deadlines.values()) - time.monotonic()
        super()._let_live(max(0.0, left))

    def share_of_another(self) -> Processors:
        """Give processors for a branch: what fewest branches have, rather not the session's."""
        branches = [each.processors for each in self._deadlines if each is not self]
        return self._zygote.shares.next([self.processors, *branches, *branches])

    def forget_branch(self, branch: "SessionGuest") -> None:
        """Leave out the time of a branch that is closed."""
        self._deadlines.pop(branch, None)

    def _let_live(self, seconds: float) -> None:
        self.let_branch_live(self, seconds)

    # Its turns

    async def open(self) -> None:
        """Wait until it is ready, and tell it that it is a session's. Raises EngineFault."""
        self._begun_at = time.monotonic()
        while not self._is_ready:
            await self._step(self._last_moment())
        self._lives_until = time.monotonic() + self._quota.life_seconds
        self._channels.send(self._stdin, b"")
        self._channels.send_more(self._payload, encode_session())
        self._rest_now()

    async def turn(self, call: Call, on_output: OnOutput | None) -> Sighting:
        """Run one call in it. Raises SessionLost if it is gone, EngineFault.

        A caller that is cancelled interrupts the turn; what does not answer that is killed.
        """
        seen = await self._ask(partial(encode_turn, call, self._quota), on_output)
        if seen.lives_on and isinstance(call, Command) and isinstance(seen.claim, Returned):
            return _as_of_a_command(seen, seen.claim)
        return seen

    async def _ask(self, encode: EncodeTurn, on_output: OnOutput | None) -> Sighting:
        """Hand a turn over and see it through."""
        async with self._turns:
            return await self._see_through(encode, on_output)

    async def _see_through(self, encode: EncodeTurn, on_output: OnOutput | None) -> Sighting:
        self._check_lives()
        self._begin(encode, on_output)
        try:
            with under_way():
                await self._wait_closely()
                while not (self._heard.is_answered or self.is_over):
                    await self._step(self._next_moment())
                    self._keep_time()
        except BaseException:
            await self._give_up_turn()
            raise
        return await self._end_turn()

    def _check_lives(self) -> None:
        """Raise SessionLost for a session that is gone, or that spoke unasked."""
        if self._why_lost:
            raise SessionLost(self._why_lost)
        self._channels.handle()
        if self._is_reaped or self._is_killed or self._ended or self._fault:
            self._lose("it ended while it waited: its time was up, or it was killed")
        elif self._heard.is_answered:
            self._lose("it answered what nobody had asked")
        if self._why_lost:
            self._kill()
            raise SessionLost(self._why_lost)

    def _check_readable(self) -> None:
        """Raise SessionLost likewise; while a turn runs its answer is the turn's to take."""
        if not self._turns.locked():
            self._check_lives()
        elif self._why_lost:
            raise SessionLost(self._why_lost)

    def _lose(self, reason: str) -> None:
        self._why_lost = self._why_lost or f"the session is lost: {reason}: open another"

    def _begin(self, encode: EncodeTurn, on_output: OnOutput | None) -> None:
        self._heard.on_output = on_output
        self._asked_at = time.monotonic()
        self._ended_at = self._interrupted_at = 0.0
        self._stopped_by = None
        self._meter = Meter(self._quota, self._zygote.cpus, self._group, self._pidfd)
        self._meter.count_from_now()
        self._refused_before = self._group.refusals() if self._group else {}
        self._let_live(backstop_seconds(self._quota) + INTERRUPT_SECONDS)
        self._heard.token = token = secrets.token_hex(TOKEN_BYTES)
        self._channels.send_more(self._payload, encode(token))

    def _deadline(self) -> float:
        if self._interrupted_at:
            return self._interrupted_at + INTERRUPT_SECONDS
        return min(self._asked_at + self._quota.wall_seconds, self._lives_until)

    def _stop_for_time(self) -> None:
        self._interrupt("wall")

    def _stop(self, limit: Limit) -> None:
        """End the turn for a limit: for time it alone, where that can be, else all."""
        if limit == "cpu":
            self._interrupt(limit)
        else:
            super()._stop(limit)

    def _interrupt(self, limit: Limit | None) -> None:
        """Interrupt the turn, and a moment later kill what did not answer."""
        self._stopped_by = self._stopped_by or limit
        if not self._interrupted_at:
            self._interrupted_at = time.monotonic()
            self._send_interrupt()
        elif time.monotonic() >= self._deadline():
            self._kill()

    def _send_interrupt(self) -> None:
        signal_main(self._pidfd, signal.SIGINT)

    async def _give_up_turn(self) -> None:
        """End a turn whose caller went: it alone, if it answers soon enough."""
        self._heard.hush()
        with anyio.CancelScope(shield=True):
            self._interrupt(None)
            with suppress(Exception), anyio.move_on_after(INTERRUPT_SECONDS):
                while not (self._heard.is_answered or self.is_over):
                    await self._step(self._deadline())
            if self._heard.is_answered and not self._heard.is_broken and not self.is_over:
                self._rest_now()
                return
            self._lose("a turn was given up and did not end")
            self._kill()

    async def _end_turn(self) -> Sighting:
        """Say what was seen of a turn; without an answer to it nothing of the session is left."""
        answered_at = time.monotonic()
        self._channels.handle()  # what was written before the answer is there
        lives_on = self._heard.is_answered and not self._heard.is_broken and not self.is_over
        lives_on = lives_on and not self._is_killed and answered_at < self._lives_until
        if lives_on:
            self._ended_at = answered_at
        else:
            self._lose("its last turn took it along")
            await self._end_all()
        seen = self._turn_sighting(lives_on=lives_on)
        self._rest_now()
        return seen

    async def _end_all(self) -> None:
        """Kill what is left; the verdict waits for the last death."""
        self._kill()
        while not self._is_reaped:
            await self._step(self._last_moment())
        self._channels.drain()

    def _turn_sighting(self, *, lives_on: bool) -> Sighting:
        self._gone_at = max(self._ended_at, time.monotonic())
        seen = self._sighting(usage(self._work_folder), NOTHING_COLLECTED)
        return replace(seen, lives_on=lives_on, is_lost=not lives_on, prepared_seconds=0.0)

    def _limits_hit(self) -> frozenset[Limit]:
        if self._group:
            return self._group.limits_hit(self._refused_before)
        return super()._limits_hit()

    def _rest_now(self) -> None:
        """Let it wait for its next turn, for as long as it may."""
        self._channels.rest()
        self._heard = Heard(self._quota)
        left = self._lives_until - time.monotonic()
        self._let_live(max(0.0, min(self._quota.idle_seconds, left)))

    async def fork(self) -> "SessionGuest":
        """Copy it as it is now, its files too. Raises CannotEnforce, BadCall, SessionLost."""
        from sandbox.backends.branch_guest import fork_session  # noqa: PLC0415 - it stands on this

        return await fork_session(self)

    async def close(self) -> None:
        """Kill it and its branches, wait until the last process is dead, give everything back."""
        if self._is_closed:
            return
        self._is_closed = True
        self._lose("it was closed")
        self._kill()
        with anyio.CancelScope(shield=True):
            async with self._turns:  # a turn that runs ends with it, and leaves the pipes alone
                await self._close()

    async def _close(self) -> None:
        for branch in [each for each in self._deadlines if each is not self]:
            await branch.close()
        on_close, self.on_close = self.on_close, None
        if on_close:
            on_close(self)
        await super().close()

    def _give_back(self) -> None:
        super()._give_back()
        self._talk.close()

    # Its files

    def files(self) -> Mapping[str, bytes]:
        """Copy out the work folder as it is now, within the quota for returned files."""
        self._check_readable()
        count, total = self._quota.returned_files, self._quota.returned_bytes
        return collect_files(self._work_folder, count=count, total_bytes=total).files

    def file(self, name: str) -> bytes:
        """Copy out one file of the work folder. Raises OSError where there is no such file."""
        self._check_readable()
        return read_file(self._work_folder, name, self._quota.disk_bytes)

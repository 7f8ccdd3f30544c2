"""One guest of a session beside the host, and what it shares with its branches."""

import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sandbox.backends.base import Limit, Sighting
from sandbox.backends.guest import Guest
from sandbox.backends.heard import Heard
from sandbox.backends.limits import backstop_seconds
from sandbox.backends.meter import Meter
from sandbox.backends.payload import encode_session
from sandbox.backends.processes import namespace_of, pid_of, signal_main
from sandbox.backends.processors import Processors
from sandbox.backends.session_turns import INTERRUPT_SECONDS, EncodeTurn, SessionTurns
from sandbox.backends.zygote import Zygote
from sandbox.collect import Collected, collect_files, read_file, usage
from sandbox.errors import SessionLost

__all__ = ["SessionGuest"]

NOTHING_COLLECTED: Final = Collected({}, ())


class SessionGuest(SessionTurns, Guest):
    """A guest that was launched and lives until close(): open() once, then turn() after turn()."""

    _refused_before: Mapping[Limit, int]
    _deadlines: dict["SessionGuest", float]
    gone_branches: list[str]
    """Folders of its branches that are closed: it removes them when it is forked next."""
    on_close: "Callable[[SessionGuest], None] | None" = None
    """Called once when it is closed."""

    def _make_answer_channel(self) -> int:
        """Make a socket instead of a pipe: descriptors of branches go the other way."""
        self._deadlines = {}
        self.gone_branches = []
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

    @property
    def _is_gone(self) -> bool:
        return bool(self._is_reaped or self._is_killed or self._ended or self._fault)

    def _hear(self) -> None:
        self._channels.handle()

    def _send_turn(self, body: bytes) -> None:
        self._meter = Meter(self._quota, self._zygote.cpus, self._group, self._pidfd)
        self._meter.count_from_now()
        self._refused_before = self._group.refusals() if self._group else {}
        self._let_live(backstop_seconds(self._quota) + INTERRUPT_SECONDS)
        self._channels.send_more(self._payload, body)

    def _stop(self, limit: Limit) -> None:
        """End the turn for a limit: for time it alone, where that can be, else all."""
        if limit == "cpu":
            self._interrupt(limit)
        else:
            super()._stop(limit)

    def _send_interrupt(self) -> None:
        signal_main(self._pidfd, signal.SIGINT)

    async def _hear_the_rest(self) -> None:
        self._channels.handle()

    async def _end_all(self) -> None:
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

    async def _close(self) -> None:
        for branch in [each for each in self._deadlines if each is not self]:
            await branch.close()
        on_close, self.on_close = self.on_close, None
        if on_close:
            on_close(self)
        await Guest.close(self)

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

"""A branch of a session: a fork of its live interpreter, with its own limits, files and turns.

It lives inside the walls of the session's guest, and never longer. The host knows its process from
the kernel, which tells who sent its first message; all else that it says is a claim.
"""

import array
import os
import signal
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final

import anyio

from sandbox.backends.base import Sighting
from sandbox.backends.guest import DEATH_SECONDS
from sandbox.backends.payload import encode_fork
from sandbox.backends.session_guest import SessionGuest
from sandbox.errors import BadCall, CannotEnforce, EngineFault, SessionLost
from sandbox.wire import Raised, Returned, printable

__all__ = ["fork_session"]

HELLO_SECONDS: Final = 10.0
CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid, gid of who sent, as this process's namespaces number them, unix(7)."""
PAUSE_SECONDS, MOST_ROUNDS = 0.002, 2_000

_names = count(1)


class BranchGuest(SessionGuest):
    """A fork of a session. It is known by a descriptor of its own process."""

    _root: SessionGuest
    name = ""
    parent: SessionGuest | None = None

    @property
    def root(self) -> SessionGuest:
        """The session in whose guest it lives."""
        return self._root

    def prepare(self, root: SessionGuest) -> list[int]:
        """Make its pipes and open its control groups; give the descriptors of its side."""
        self._root = root
        theirs = self._make_pipes()
        if self._group:
            self._group.open_counters()
            theirs += self._group.open_entrances()
        self._talk.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        return theirs

    async def meet(self, lives_until: float) -> None:
        """Wait for its first message, and learn its process from it. Raises EngineFault."""
        with anyio.move_on_after(HELLO_SECONDS):
            await anyio.wait_readable(self._talk)
        try:
            self._take_hello()
        except (OSError, ValueError) as error:
            message = f"a branch did not come up: {error}"
            raise EngineFault(message, started="yes") from error
        self._channels.on_ready(self._pidfd, self._take_death)
        self._is_locked_down = True
        self._lives_until = lives_until
        self._channels.send(self._stdin, b"")
        self._rest_now()

    def _take_hello(self) -> None:
        self._talk.setblocking(False)
        space = socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(array.array("i").itemsize)
        content, messages, _, _ = self._talk.recvmsg(1, space)
        if not content:
            message = "it ended before it said a word"
            raise ValueError(message)
        sender = 0
        for _, kind, content in messages:
            if kind == socket.SCM_RIGHTS:
                self._work_folder, *others = array.array("i", content)
                for other in others:
                    os.close(other)
            elif kind == socket.SCM_CREDENTIALS:
                sender, _, _ = CREDENTIALS.unpack(content)
        self._pidfd = os.pidfd_open(sender)  # last: what was sent is kept, if its sender is gone
        self._check_hello()
        self._give_processors(sender)

    def _check_hello(self) -> None:
        """Raise ValueError unless it is a live process of the session, and a folder of its disk."""
        if self._pidfd < 0 or self._work_folder < 0:
            message = "its first message lacks its folder"
            raise ValueError(message)
        if not self._root.is_kin(self._pidfd):
            os.close(self._pidfd)
            self._pidfd = -1  # a number may have been given again: no stranger is killed
            message = "its first message comes from elsewhere"
            raise ValueError(message)
        if not self._root.has_on_disk(self._work_folder):
            message = "its folder lies elsewhere"
            raise ValueError(message)

    def _give_processors(self, pid: int) -> None:
        """Have it run beside its session, whose filter it has: it cannot do so itself.

        It was just seen alive, and waits for its first turn: the number is still its own.
        """
        self.processors = self._root.share_of_another()
        with suppress(OSError):  # it has died since, or stays where its session is
            os.sched_setaffinity(pid, self.processors)

    def _take_death(self) -> None:
        """Its process is dead: what it left behind in its group goes too."""
        self._ended_at = self._ended_at or time.monotonic()
        if not self._group or self._group.kill():
            self._is_reaped = True
            self._channels.stop_handling(self._pidfd)
        self._channels.wake()

    def _send_interrupt(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGINT)

    def _let_live(self, seconds: float) -> None:
        self._root.let_branch_live(self, seconds)

    async def close(self) -> None:
        """Kill it with all that it left running, and give everything back."""
        self._root.forget_branch(self)
        with anyio.CancelScope(shield=True), anyio.move_on_after(DEATH_SECONDS):
            self._kill()
            if self._pidfd >= 0:
                await anyio.wait_readable(self._pidfd)
                await self._empty_group()
        self._is_reaped = True
        self._deadlines.clear()
        if self.parent:
            self.parent.gone_branches.append(self.name)
            self.parent = None
        await super().close()

    async def _empty_group(self) -> None:
        """Kill what its process left behind, until none is there."""
        if not self._group:
            return
        for _ in range(MOST_ROUNDS):
            if self._group.kill():
                return
            await anyio.sleep(PAUSE_SECONDS)


def _check_forked(seen: Sighting) -> None:
    if isinstance(seen.claim, Raised):
        message = f"the session cannot be forked: {printable(seen.claim.message[:300])}"
        raise BadCall(message, started="yes")
    if seen.is_lost:
        message = "the session was lost when it was forked: open another"
        raise SessionLost(message, started="yes")
    if not isinstance(seen.claim, Returned):
        message = "a branch did not come up: its session gave no answer"
        raise EngineFault(message, started="yes")


async def fork_session(session: SessionGuest) -> BranchGuest:
    """Fork a session. Raises CannotEnforce, BadCall, SessionLost, EngineFault."""
    groups, plan = session.zygote.group, session.zygote.plan
    if not groups or not plan.landlock_abi:
        message = (
            "branches need control groups and Landlock: see what is missing by 'sandbox doctor'"
        )
        raise CannotEnforce(message)
    branch = BranchGuest(session.zygote, groups.add_call(plan.policy.quota))
    try:
        theirs = branch.prepare(session.root)
        try:
            gone, session.gone_branches[:] = [*session.gone_branches], []
            branch.name, branch.parent = str(next(_names)), session
            seen = await session.ask_for_branch(partial(encode_fork, branch.name, gone), theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        _check_forked(seen)
        await branch.meet(session.lives_until)
    except BaseException:
        await branch.close()
        raise
    return branch

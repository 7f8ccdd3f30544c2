"""What a user holds of a session: one guest that answers several calls and keeps its state."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypeAlias

import anyio

from sandbox.backends.base import BackendSession, OnOutput
from sandbox.call import Call, Command, Source, as_bytes, as_files
from sandbox.engine import Engine
from sandbox.errors import EngineFault, SessionLost
from sandbox.functions import function_call
from sandbox.loop_thread import LoopThread
from sandbox.policy import Policy
from sandbox.result import Result
from sandbox.wire import Json

__all__ = ["AsyncSession", "AsyncSnapshot", "Session", "Snapshot"]

Files: TypeAlias = Mapping[str, bytes | str]


class AsyncSession:
    """A live interpreter for one caller. Use it as `async with box.session() as s`.

    Its turns share variables, imports and the work folder, and run one at a time, each under the
    policy's quotas for a call. A turn over its time is interrupted (SIGINT, KeyboardInterrupt) and
    then goes alone; one that does not answer that within half a second, that fills the memory or
    prints too much, or that ends its process takes the session along: its Result says
    `session_lost`, and what follows raises SessionLost. A session also ends quota.idle_seconds
    after its last turn, and quota.life_seconds after its start.

    All that a turn answers is said by a process in which untrusted code has run before: a value, an
    exit code of a command. What it used and which limits it met the host saw itself.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        tenant: str,
        open_guest: Callable[[], Awaitable[BackendSession]],
    ) -> None:
        """Start nothing. Sandbox.session() makes it."""
        self._engine = engine
        self._tenant = tenant
        self._open = open_guest
        self._turns = 0
        self._one_at_a_time = anyio.Lock(fast_acquire=True)
        self._guest: BackendSession | None = None
        self.policy = policy

    async def run(
        self,
        source: str,
        *,
        inputs: Mapping[str, Json] | None = None,
        files: Files | None = None,
        expect_value: bool = True,
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run Python source in the session's main module; its last expression is the value.

        inputs: JSON values, names in the module from now on. A value that is no data (a table, a
        figure) is None in the Result, and in `display` in every form in which it shows itself.
        """
        self._turns += 1
        call = Source(
            source=source,
            inputs=inputs or {},
            name=f"turn-{self._turns}.py",
            expect_value=expect_value,
            files=as_files(files),
        )
        return await self.execute(call, on_output=on_output)

    async def call(
        self, function: str | Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Result:
        """Call a function, by "module:name" or itself, with JSON arguments; give its value."""
        return await self.execute(function_call(function, args, kwargs, self.policy))

    async def exec(
        self,
        argv: Sequence[str],
        *,
        files: Files | None = None,
        stdin: bytes | str = b"",
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run a program to its end beside the interpreter, in the same work folder."""
        call = Command(argv=argv, files=as_files(files), stdin=as_bytes(stdin))
        return await self.execute(call, on_output=on_output)

    async def execute(self, call: Call, *, on_output: OnOutput | None = None) -> Result:
        """Run a call that was made before. Raises SessionLost, or as Sandbox.execute does.

        Cancelling the task interrupts the turn; if that does not end it, the session is lost.
        """
        async with self._one_at_a_time:
            guest = self._open_guest
            turn = self._engine.turn
            return await turn(guest, call, self.policy, on_output, tenant=self._tenant)

    async def fork(self, count: int = 1) -> "list[AsyncSession]":
        """Copy the live interpreter with all its state, so often: sessions that go on from here.

        Each has its own copy of the work folder, which is its current folder and not /box: what the
        program opens by a relative name is its own. Each has memory, processes and processor time
        of its own within the policy; disk is shared with the session. A branch ends with its
        session at the latest. Open files and what lies in /tmp are shared, as after fork(2).

        Raises BadCall for a session that runs threads, CannotEnforce in a container and without
        control groups or Landlock, SessionLost. When one of several cannot be made, none is left.
        """
        branches: list[AsyncSession] = []
        try:
            for _ in range(count):
                branches.append(await self.branch().__aenter__())  # noqa: PERF401 - kept if one fails
        except BaseException:
            with anyio.CancelScope(shield=True):
                for branch in branches:
                    await branch.aclose()
            raise
        return branches

    async def freeze(self) -> "AsyncSnapshot":
        """Keep a copy as it is now; sessions and calls start from it. It ends as a fork does."""
        (branch,) = await self.fork()
        return AsyncSnapshot(branch)

    def branch(self) -> "AsyncSession":
        """Give a copy that is made when it is entered: `async with s.branch() as b`. See fork()."""
        return AsyncSession(self._engine, self.policy, self._tenant, self._fork_guest)

    async def _fork_guest(self) -> BackendSession:
        async with self._one_at_a_time:
            return await self._open_guest.fork()

    async def put(self, name: str, content: bytes | str) -> None:
        """Write a file into the work folder, in place of one that is there.

        Raises CallFailed where the guest cannot, as when its disk is full.
        """
        (await self.run("", files={name: content}, expect_value=False)).unwrap()

    def get(self, name: str) -> bytes:
        """Read a file of the work folder, at most quota.disk_bytes.

        Raises OSError: FileNotFoundError where there is none, another for what is no regular file
        or lies behind a link. Follows nothing, whatever the guest does meanwhile. A container is
        asked for it: this task's event loop waits for that, a moment and ten seconds at most.
        """
        return self._open_guest.file(name)

    @property
    def files(self) -> Mapping[str, bytes]:
        """Read the work folder as it is now: content by name, within the quota for returned files.

        What is over that, or no regular file, is left out. A program that still writes may be seen
        half-way.
        """
        return self._open_guest.files()

    @property
    def _open_guest(self) -> BackendSession:
        if self._guest is None:
            message = "the session is not open: use it as `with box.session() as s`"
            raise SessionLost(message)
        return self._guest

    async def __aenter__(self) -> Self:
        """Start the guest, if it has none yet. Raises CannotEnforce, EngineFault."""
        if not self._guest:  # a branch that fork() gave has one
            self._guest = await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the session and all that it left running; a second time does nothing."""
        guest, self._guest = self._guest, None
        if guest:
            await guest.close()


class AsyncSnapshot:
    """A session that is kept as it was, and takes no turns: a template. Use it as `async with`."""

    def __init__(self, frozen: AsyncSession) -> None:
        """Keep it. AsyncSession.freeze() makes it."""
        self._frozen = frozen

    def session(self) -> AsyncSession:
        """Give a session that starts from here: `async with snapshot.session() as s`."""
        return self._frozen.branch()

    async def run(self, source: str, *, inputs: Mapping[str, Json] | None = None) -> Result:
        """Run Python source in a fresh copy, which is gone afterwards."""
        async with self.session() as session:
            return await session.run(source, inputs=inputs)

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """End it; sessions that started from it go on."""
        await self._frozen.aclose()


class Session:
    """The blocking face of AsyncSession: the same methods and errors. Use it as `with`."""

    def __init__(self, inner: AsyncSession, loop: LoopThread) -> None:
        """Start nothing. Sandbox.session() makes it."""
        self._inner = inner
        self._loop = loop

    @property
    def policy(self) -> Policy:
        """The policy of every turn."""
        return self._inner.policy

    def run(
        self,
        source: str,
        *,
        inputs: Mapping[str, Json] | None = None,
        files: Files | None = None,
        expect_value: bool = True,
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run Python source; see AsyncSession.run."""
        run = partial(
            self._inner.run,
            source,
            inputs=inputs,
            files=files,
            expect_value=expect_value,
            on_output=on_output,
        )
        return self._loop.wait(run)

    def call(self, function: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> Result:
        """Call a function; see AsyncSession.call."""
        return self._loop.wait(partial(self._inner.call, function, *args, **kwargs))

    def exec(
        self,
        argv: Sequence[str],
        *,
        files: Files | None = None,
        stdin: bytes | str = b"",
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run a program; see AsyncSession.exec."""
        execute = self._inner.exec
        return self._loop.wait(
            partial(execute, argv, files=files, stdin=stdin, on_output=on_output)
        )

    def execute(self, call: Call, *, on_output: OnOutput | None = None) -> Result:
        """Run a call that was made before; see AsyncSession.execute."""
        return self._loop.wait(partial(self._inner.execute, call, on_output=on_output))

    def fork(self, count: int = 1) -> "list[Session]":
        """Copy the live interpreter with all its state, so often; see AsyncSession.fork."""
        branches = self._loop.wait(partial(self._inner.fork, count))
        return [Session(branch, self._loop) for branch in branches]

    def freeze(self) -> "Snapshot":
        """Keep a copy as it is now; see AsyncSession.freeze."""
        return Snapshot(self._loop.wait(self._inner.freeze), self._loop)

    def put(self, name: str, content: bytes | str) -> None:
        """Write a file into the work folder; see AsyncSession.put."""
        self._loop.wait(partial(self._inner.put, name, content))

    def get(self, name: str) -> bytes:
        """Read a file of the work folder; see AsyncSession.get."""

        async def get() -> bytes:  # where the guest is watched
            return self._inner.get(name)

        return self._loop.wait(get)

    @property
    def files(self) -> Mapping[str, bytes]:
        """Read the work folder; see AsyncSession.files."""

        async def files() -> Mapping[str, bytes]:
            return self._inner.files

        return self._loop.wait(files)

    def __enter__(self) -> Self:
        """Start the guest; see AsyncSession.__aenter__."""
        self._loop.wait(self._inner.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the session and all that it left running; a second time does nothing."""
        with suppress(EngineFault):  # its sandbox is closed, and it with that
            self._loop.wait(self._inner.aclose)


class Snapshot:
    """The blocking face of AsyncSnapshot: the same methods and errors. Use it as `with`."""

    def __init__(self, inner: AsyncSnapshot, loop: LoopThread) -> None:
        """Keep it. Session.freeze() makes it."""
        self._inner = inner
        self._loop = loop

    def session(self) -> Session:
        """Give a session that starts from here: `with snapshot.session() as s`."""
        return Session(self._inner.session(), self._loop)

    def run(self, source: str, *, inputs: Mapping[str, Json] | None = None) -> Result:
        """Run Python source in a fresh copy, which is gone afterwards."""
        return self._loop.wait(partial(self._inner.run, source, inputs=inputs))

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End it; sessions that started from it go on."""
        self._loop.wait(self._inner.aclose)

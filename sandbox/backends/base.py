"""The contract of a backend: what it is asked, and what it says it saw."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias

from sandbox.call import Call
from sandbox.policy import Policy
from sandbox.record import Record
from sandbox.result import Enforced, LeftOutFile, Usage
from sandbox.wire import Claim, InitReport, Json, Note, OutputBuffer

__all__ = [
    "Backend",
    "BackendSession",
    "HostPython",
    "Limit",
    "OnOutput",
    "OnPartial",
    "Sighting",
    "Stream",
    "WatchedSighting",
]

Limit: TypeAlias = Literal["wall", "cpu", "memory", "processes", "output", "disk"]
"""A quota that ends a call."""

Stream: TypeAlias = Literal["stdout", "stderr"]

OnOutput: TypeAlias = Callable[[Stream, bytes], None]
"""Called with each piece of output as it comes. It must be quick: the call's clock runs on."""

OnPartial: TypeAlias = Callable[[Json], None]
"""Called with each value that a call gives before its end, as it comes. It must be quick too."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What the host saw of one call. No verdict yet; engine.py makes it from this alone."""

    claim: Claim
    """What the guest says became of its call."""
    ended: InitReport | None
    """How the main process ended by itself, None if it did not."""
    stopped_by: Limit | None
    """Why the host ended the call, None if it did not."""
    limits_hit: frozenset[Limit]
    """Limits at which something was refused or killed: the call is not ok, whatever it says."""
    limits_reached: frozenset[Limit]
    """Limits that were full at a look; the reason, if the call failed otherwise."""
    stdout: OutputBuffer
    stderr: OutputBuffer
    usage: Usage
    prepared_seconds: float
    ran_seconds: float
    torn_down_seconds: float
    counted: frozenset[Limit] = frozenset()
    """Limits whose refusals the kernel counts here, so that limits_hit has them for certain."""
    partial: tuple[Json, ...] = ()
    notes: tuple[Note, ...] = ()
    """What the guest says of its handler: claims, like the answer."""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    left_out: tuple[LeftOutFile, ...] = ()
    lives_on: bool = False
    """Whether it was a session's turn, which answered, and whose session goes on."""
    is_lost: bool = False
    """Whether it was a session's turn with which the session ended."""


class WatchedSighting(NamedTuple):
    """What the host saw of a call that was watched."""

    sighting: Sighting
    record: Record


class BackendSession(Protocol):
    """One guest that answers several calls, one at a time."""

    async def turn(self, call: Call, on_output: OnOutput | None) -> Sighting:
        """Run one call in it. Raises SessionLost if it is gone, EngineFault."""
        ...

    async def fork(self) -> "BackendSession":
        """Copy it as it is now, its files too. Raises CannotEnforce, BadCall, SessionLost."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Copy out the work folder as it is now, within the quota for returned files."""
        ...

    def file(self, name: str) -> bytes:
        """Copy out one file of the work folder. Raises OSError where there is no such file."""
        ...

    async def close(self) -> None:
        """End it, and leave nothing."""
        ...


class HostPython(Protocol):
    """The interpreter that guests run, where it is one of the host's."""

    @property
    def prefix(self) -> str:
        """The folder with its lib/pythonX.Y, on the host."""
        ...

    @property
    def packages(self) -> tuple[str, ...]:
        """The folders of installed packages, on the host."""
        ...


class Backend(Protocol):
    """Starts guests one way. Every method may be called from several tasks of one event loop."""

    name: str

    @property
    def python(self) -> HostPython | None:
        """The interpreter of the guests; None where it is in an image of its own."""
        ...

    async def open(self) -> None:
        """Get to know what this host has; before anything else, as often as one likes.

        Raises EngineFault where nothing can run.
        """
        ...

    def enforced(self, policy: Policy) -> Enforced:
        """Say what would hold each limit. Raises CannotEnforce, naming what nothing holds."""
        ...

    async def run(
        self, call: Call, policy: Policy, on_output: OnOutput | None, on_partial: OnPartial | None
    ) -> Sighting:
        """Run one call to its end, leaving nothing. Raises SandboxError, never for the guest."""
        ...

    async def watch(
        self, call: Call, policy: Policy, on_output: OnOutput | None
    ) -> WatchedSighting:
        """Run one call as run() does, and write down what it asks of the kernel.

        Raises CannotEnforce where this backend or this host cannot watch, EngineFault.
        """
        ...

    async def open_session(self, policy: Policy) -> BackendSession:
        """Start a session. Raises CannotEnforce where this backend has none, EngineFault."""
        ...

    async def aclose(self) -> None:
        """End whatever is still running and give everything back."""
        ...

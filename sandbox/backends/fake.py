"""A backend without processes: it ships, so that programs around a sandbox are tested fast."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

from sandbox.backends.base import BackendSession, OnOutput, OnPartial, Sighting, WatchedSighting
from sandbox.call import Call
from sandbox.errors import CannotEnforce, EngineFault, SandboxError
from sandbox.policy import Policy
from sandbox.result import Enforced, Usage
from sandbox.wire import Json, MainExited, OutputBuffer, Raised, Returned

__all__ = ["FakeBackend", "Seen", "raised", "returned"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One call as the backend was asked for it."""

    call: Call
    policy: Policy


class FakeBackend:
    """Answers each call with the next of the sightings it was given, and notes what was asked.

    Use it as `Sandbox(backend=FakeBackend.returning(1, 2))`. A sighting's output is delivered to
    on_output, its partial values to on_partial. An exception among the sightings is raised.
    Isolates nothing: no code runs at all.
    """

    name = "fake"

    def __init__(
        self,
        sightings: Iterable[Sighting | SandboxError],
        *,
        before: Callable[[Call], Awaitable[None]] | None = None,
    ) -> None:
        """Keep the sightings in order.

        before: awaited in each call before its sighting is given; a test holds a call there.
        """
        self._sightings = deque(sightings)
        self._before = before
        self.calls: list[Seen] = []
        self.is_closed = False

    @classmethod
    def returning(cls, *values: Json) -> Self:
        """Give a backend whose calls end well, with these values in order."""
        return cls([returned(value) for value in values])

    @property
    def python(self) -> None:
        """None: there is no interpreter."""
        return

    async def open(self) -> None:
        """Do nothing."""

    def enforced(self, policy: Policy) -> Enforced:
        """Say that nothing is enforced. Refuses nothing."""
        del policy
        return Enforced(**dict.fromkeys(Enforced.model_fields, "nothing: a fake"))

    async def run(
        self, call: Call, policy: Policy, on_output: OnOutput | None, on_partial: OnPartial | None
    ) -> Sighting:
        """Note the call and give the next sighting. Raises EngineFault when there is none left."""
        self.calls.append(Seen(call=call, policy=policy))
        if self._before:
            await self._before(call)
        if not self._sightings:
            message = f"this fake has no answer for call {len(self.calls)}: give it one more"
            raise EngineFault(message)
        sighting = self._sightings.popleft()
        if isinstance(sighting, SandboxError):
            raise sighting
        if on_output:
            _deliver(sighting, on_output)
        if on_partial:
            for value in sighting.partial:
                on_partial(value)
        return sighting

    async def watch(
        self, call: Call, policy: Policy, on_output: OnOutput | None
    ) -> WatchedSighting:
        """Raise CannotEnforce: no code runs here."""
        del call, policy, on_output
        message = "a fake runs nothing that could be watched"
        raise CannotEnforce(message)

    async def open_session(self, policy: Policy) -> BackendSession:
        """Raise CannotEnforce: no code runs here, so no state is kept."""
        message = f"a fake has no sessions, for {policy.name!r} or any other policy"
        raise CannotEnforce(message)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.is_closed = True


def returned(value: Json, *, stdout: bytes = b"", stderr: bytes = b"") -> Sighting:
    """Make the sighting of a call that ended well with a value."""
    return Sighting(
        claim=Returned(value),
        ended=MainExited(0),
        stopped_by=None,
        limits_hit=frozenset(),
        limits_reached=frozenset(),
        stdout=_buffer(stdout),
        stderr=_buffer(stderr),
        usage=Usage(stdout_bytes=len(stdout), stderr_bytes=len(stderr)),
        prepared_seconds=0.0,
        ran_seconds=0.0,
        torn_down_seconds=0.0,
    )


def raised(kind: str, message: str = "") -> Sighting:
    """Make the sighting of a call whose code raised."""
    claim = Raised(type=kind, message=message, traceback="")
    return replace(returned(None), claim=claim, ended=MainExited(1))


def _buffer(content: bytes) -> OutputBuffer:
    buffer = OutputBuffer(max(1, len(content)))
    buffer.append(content)
    return buffer


def _deliver(sighting: Sighting, on_output: OnOutput) -> None:
    if sighting.stdout.total:
        on_output("stdout", sighting.stdout.bytes())
    if sighting.stderr.total:
        on_output("stderr", sighting.stderr.bytes())

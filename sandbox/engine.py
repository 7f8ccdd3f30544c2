"""One call from admission to its result."""

import time
from types import TracebackType
from typing import NamedTuple, Self

from sandbox.backends.base import (
    Backend,
    BackendSession,
    HostPython,
    OnOutput,
    OnPartial,
    Sighting,
    Stream,
)
from sandbox.call import Call, Command, Handler, quota_of
from sandbox.errors import BadCall, SandboxError
from sandbox.policy import NoPrograms, Policy, Quota
from sandbox.record import Record
from sandbox.result import Enforced, ErrorInfo, Phases, Result, Usage
from sandbox.tenants import NAMELESS, NOTHING, Bounds, Spent, Tenants
from sandbox.verdict import Verdict, judge
from sandbox.wire import MainExited, MainSignaled

__all__ = ["Engine", "WatchedResult"]


class WatchedResult(NamedTuple):
    """What became of a call that was watched, and what it did."""

    result: Result
    record: Record


class Engine:
    """Runs calls on one backend, so many at a time."""

    def __init__(self, backend: Backend, bounds: Bounds | int) -> None:
        """Keep the backend. bounds: or so many calls at once, and the rest as Bounds has it."""
        self._backend = backend
        self.tenants = Tenants(bounds if isinstance(bounds, Bounds) else Bounds(parallel=bounds))
        self.is_closed = False
        """Whether the sandbox takes no further call, whatever name it is called by."""

    @property
    def python(self) -> HostPython | None:
        """The interpreter of the guests; None where it is none of this host's."""
        return self._backend.python

    async def execute(
        self,
        call: Call,
        policy: Policy,
        on_output: OnOutput | None,
        on_partial: OnPartial | None = None,
        *,
        tenant: str = NAMELESS,
    ) -> Result:
        """Run one call under a policy. Raises SandboxError for faults of our own only.

        tenant: whose turn, place and budget it takes. What is refused or denied before it has a
        place costs nothing.
        """
        await self._backend.open()
        enforced = self._backend.enforced(policy)
        if isinstance(call, Command) and isinstance(policy.programs, NoPrograms):
            return _denied(policy, enforced)
        _check_files(call, policy)
        quota = quota_of(call, policy.quota)
        async with _Place(self.tenants, tenant, quota) as place:
            listener = place.listen(on_output)
            seen = await self._backend.run(call, policy, listener, on_partial)
            place.charge(seen.usage)
        verdict = judge(call, seen, quota)
        return _result(verdict, seen, policy, enforced, queued_seconds=place.queued_seconds)

    async def watch(
        self, call: Call, policy: Policy, on_output: OnOutput | None, *, tenant: str = NAMELESS
    ) -> WatchedResult:
        """Run one call as execute() does, and write down what it asks of the kernel.

        Raises CannotEnforce where the backend cannot watch, and SandboxError for other faults.
        """
        await self._backend.open()
        enforced = self._backend.enforced(policy)
        if isinstance(call, Command) and isinstance(policy.programs, NoPrograms):
            return WatchedResult(_denied(policy, enforced), Record())
        _check_files(call, policy)
        quota = quota_of(call, policy.quota)
        async with _Place(self.tenants, tenant, quota) as place:
            seen, record = await self._backend.watch(call, policy, place.listen(on_output))
            place.charge(seen.usage)
        verdict = judge(call, seen, quota)
        result = _result(verdict, seen, policy, enforced, queued_seconds=place.queued_seconds)
        return WatchedResult(result, record)

    async def open_session(self, policy: Policy) -> BackendSession:
        """Start a session under a policy. It has a place only while a turn of it runs."""
        await self._backend.open()
        self._backend.enforced(policy)
        return await self._backend.open_session(policy)

    async def turn(
        self,
        session: BackendSession,
        call: Call,
        policy: Policy,
        on_output: OnOutput | None,
        *,
        tenant: str = NAMELESS,
    ) -> Result:
        """Run one call in a session. Raises SessionLost, and SandboxError for faults of our own."""
        _check_turn(call)
        enforced = self._backend.enforced(policy)
        if isinstance(call, Command) and isinstance(policy.programs, NoPrograms):
            return _denied(policy, enforced)
        _check_files(call, policy)
        async with _Place(self.tenants, tenant, policy.quota) as place:
            seen = await session.turn(call, place.listen(on_output))
            place.charge(seen.usage)
        verdict = judge(call, seen, policy.quota)
        return _result(verdict, seen, policy, enforced, queued_seconds=place.queued_seconds)

    async def aclose(self) -> None:
        """Refuse what waits and end what still runs."""
        self.tenants.close()
        await self._backend.aclose()


class _Place:
    """The place of one call, among those that run at once."""

    def __init__(self, tenants: Tenants, name: str, quota: Quota) -> None:
        """Take nothing yet."""
        self._tenants = tenants
        self._name = name
        self._quota = quota
        self._usage: Usage | None = None
        self._heard_bytes = 0
        self.queued_seconds = 0.0
        """How long it waited for its place."""

    async def __aenter__(self) -> Self:
        """Wait for it. Raises QueueFull, BudgetSpent."""
        asked = time.monotonic()
        self._tenant = await self._tenants.enter(self._name)
        self._entered = time.monotonic()
        self.queued_seconds = self._entered - asked
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, fault: BaseException | None, __: TracebackType | None
    ) -> None:
        """Give it back and charge for it, however the call ended."""
        self._tenants.leave(self._tenant, self._spent(fault))

    def listen(self, on_output: OnOutput | None) -> OnOutput | None:
        """Count what is delivered: a call that is cancelled is charged for that."""
        if not on_output:
            return None

        def count(stream: Stream, chunk: bytes) -> None:
            self._heard_bytes += len(chunk)
            on_output(stream, chunk)

        return count

    def charge(self, usage: Usage) -> None:
        """Take what the host saw as the cost of the call."""
        self._usage = usage

    def _spent(self, fault: BaseException | None) -> Spent:
        """Say what it cost; at its worst, where nobody saw: no tenant gains by a cancellation."""
        if self._usage:
            heard = self._usage.stdout_bytes + self._usage.stderr_bytes
            return Spent(cpu_seconds=self._usage.cpu_seconds, output_bytes=heard)
        if isinstance(fault, SandboxError) and fault.started == "no":
            return NOTHING
        could = (time.monotonic() - self._entered) * self._quota.cpus
        cpu_seconds = min(could, self._quota.cpu_seconds)
        return Spent(cpu_seconds=cpu_seconds, output_bytes=self._heard_bytes)


def _check_turn(call: Call) -> None:
    """Raise BadCall for what only a guest of its own can be given."""
    if isinstance(call, Handler):
        message = f"the handler {call.name} needs a guest of its own: run it in a Toolset"
        raise BadCall(message)
    if call.stdin and not isinstance(call, Command):
        message = "a turn of a session has no standard input: use inputs, or put() a file"
        raise BadCall(message)


def _check_files(call: Call, policy: Policy) -> None:
    """Raise BadCall for input files that the guest's own quotas would refuse."""
    quota = policy.quota
    for name, content in call.files.items():
        if len(content) > quota.file_bytes:
            message = f"the file {name!r} is over quota.file_bytes = {quota.file_bytes}"
            raise BadCall(message)
    if sum(map(len, call.files.values())) > quota.disk_bytes:
        message = f"the files together are over quota.disk_bytes = {quota.disk_bytes}"
        raise BadCall(message)
    if len(call.files) > quota.disk_files:
        message = f"the files are {len(call.files)}, over quota.disk_files = {quota.disk_files}"
        raise BadCall(message)


def _denied(policy: Policy, enforced: Enforced) -> Result:
    message = "the policy allows no programs: programs.kind = 'none'"
    error = ErrorInfo(type="ProgramDenied", message=message)
    return Result(status="denied", error=error, enforced=enforced, policy=policy.fingerprint)


def _result(
    verdict: Verdict, seen: Sighting, policy: Policy, enforced: Enforced, *, queued_seconds: float
) -> Result:
    ended = seen.ended
    limits = {*seen.limits_hit, *seen.limits_reached, *filter(None, [seen.stopped_by])}
    return Result(
        status=verdict.status,
        value=verdict.value,
        error=verdict.error,
        exit_code=ended.code if isinstance(ended, MainExited) else None,
        signal=ended.signal if isinstance(ended, MainSignaled) else None,
        stdout_bytes=seen.stdout.bytes(),
        stderr_bytes=seen.stderr.bytes(),
        stdout=seen.stdout.text(),
        stderr=seen.stderr.text(),
        stdout_dropped=seen.stdout.dropped,
        stderr_dropped=seen.stderr.dropped,
        parts=verdict.parts,
        display=verdict.display,
        session_lost=seen.is_lost,
        partial=seen.partial,
        notes=seen.notes,
        files=seen.files,
        left_out=seen.left_out,
        limits_hit=tuple(sorted(limits)),
        usage=seen.usage,
        phases=Phases(
            queued=queued_seconds,
            prepared=seen.prepared_seconds,
            ran=seen.ran_seconds,
            torn_down=seen.torn_down_seconds,
        ),
        enforced=enforced,
        policy=policy.fingerprint,
    )

"""One call from admission to its result."""

import time

import anyio

from sandbox.backends.base import Backend, OnOutput, OnPartial, Sighting
from sandbox.call import Call, Command, quota_of
from sandbox.errors import BadCall
from sandbox.policy import NoPrograms, Policy
from sandbox.result import Enforced, ErrorInfo, Phases, Result
from sandbox.verdict import Verdict, judge
from sandbox.wire import MainExited, MainSignaled

__all__ = ["Engine"]


class Engine:
    """Runs calls on one backend, so many at a time."""

    def __init__(self, backend: Backend, parallel: int) -> None:
        """Keep the backend; parallel calls run at once, the others wait in order."""
        self._backend = backend
        self._places = anyio.CapacityLimiter(parallel)

    async def execute(
        self,
        call: Call,
        policy: Policy,
        on_output: OnOutput | None,
        on_partial: OnPartial | None = None,
    ) -> Result:
        """Run one call under a policy. Raises SandboxError for faults of our own only."""
        await self._backend.open()
        enforced = self._backend.enforced(policy)
        if isinstance(call, Command) and isinstance(policy.programs, NoPrograms):
            return _denied(policy, enforced)
        _check_files(call, policy)
        asked = time.monotonic()
        # A borrower of its own for each call: one task may run several.
        async with _Place(self._places):
            admitted = time.monotonic()
            seen = await self._backend.run(call, policy, on_output, on_partial)
        verdict = judge(call, seen, quota_of(call, policy.quota))
        return _result(verdict, seen, policy, enforced, queued_seconds=admitted - asked)

    async def aclose(self) -> None:
        """End what still runs."""
        await self._backend.aclose()


class _Place:
    """A place among the calls that run at once."""

    def __init__(self, places: anyio.CapacityLimiter) -> None:
        self._places = places

    async def __aenter__(self) -> None:
        await self._places.acquire_on_behalf_of(self)

    async def __aexit__(self, *_: object) -> None:
        self._places.release_on_behalf_of(self)


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

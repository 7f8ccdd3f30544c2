"""One verdict from what the host saw. The only place where a status is decided."""

import errno
import signal
from dataclasses import dataclass, field
from typing import Final

from sandbox.backends.base import Limit, Sighting
from sandbox.call import Call, Command, Handler
from sandbox.policy import Quota
from sandbox.result import ErrorInfo, Status
from sandbox.wire import (
    Claim,
    Display,
    Json,
    MainExited,
    MainSignaled,
    NoAnswer,
    Part,
    Raised,
    Returned,
    ReturnedParts,
    Unfit,
)

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A status, the value or the parts if it is ok, the error if it is not."""

    status: Status
    value: Json = None
    parts: tuple[Part, ...] = ()
    display: Display = field(default_factory=dict[str, "str | bytes"])
    error: ErrorInfo | None = None


SHELL_BASE: Final = 128
"""A shell that lost its child to signal n exits with this and n."""

_STATUS: Final[dict[Limit, Status]] = {
    "memory": "memory_limit",
    "processes": "process_limit",
    "output": "output_limit",
    "disk": "disk_limit",
    "cpu": "cpu_limit",
    "wall": "timeout",
}
"""In order of weight: a tree that was refused a process and then hung is told of the first."""


def judge(call: Call, seen: Sighting, quota: Quota) -> Verdict:
    """Decide what became of a call. What the guest claims can make it worse, never better."""
    hit = {*seen.limits_hit, *([seen.stopped_by] if seen.stopped_by else [])}
    if hit & {"wall", "cpu"}:  # a tree that was full and then hung was full first
        hit |= seen.limits_reached & {"processes"}
    for limit in _STATUS:
        if limit in hit:
            return _over(limit, quota)
    verdict = _by_its_end(call, seen, quota)
    if verdict.status in {"error", "exit", "signal"}:
        reached = {*seen.limits_reached, *_met(seen)}
        for limit in _STATUS:
            if limit in reached:
                return _over(limit, quota)
    return verdict


def _met(seen: Sighting) -> set[Limit]:
    """Give the limits that a failed call says it met, where nothing else tells of it.

    A claim, but one that only names a failure: it cannot make an ok of it.
    """
    if isinstance(seen.ended, MainExited) and seen.ended.code == SHELL_BASE + signal.SIGXFSZ:
        return {"disk"}
    if not isinstance(seen.claim, Raised):
        return set()
    message = seen.claim.message
    if message.startswith((f"[Errno {errno.EFBIG}]", f"[Errno {errno.ENOSPC}]")):
        return {"disk"}
    is_refused = message.startswith(f"[Errno {errno.EAGAIN}]") or "start new thread" in message
    return {"processes"} if is_refused and "processes" not in seen.counted else set()


def _by_its_end(call: Call, seen: Sighting, quota: Quota) -> Verdict:
    match seen.ended:
        case MainSignaled(signal=number):
            return _killed(number, seen, quota)
        case MainExited(code=code):
            return _exited(code, call, seen)
        case None if seen.lives_on:
            return _by_claim(seen.claim, call)
        case None if seen.is_lost:
            return _bad("error", "ProcessEnded", "its process ended without an answer")
        case None:
            return _bad("signal", "Killed", "its processes were killed from outside")


def _killed(number: int, seen: Sighting, quota: Quota) -> Verdict:
    """Tell the signals by which the kernel enforces a limit of ours from all others."""
    if number == signal.SIGSYS:
        return _bad("denied", "SystemCallDenied", "a system call that no program needs: killed")
    if number == signal.SIGXFSZ:
        return _over("disk", quota)
    used_up = seen.usage.cpu_seconds >= quota.cpu_seconds
    if number == signal.SIGXCPU or (number == signal.SIGKILL and used_up):
        return _over("cpu", quota)
    return _bad("signal", signal_name(number), f"killed by {signal_name(number)}")


def _exited(code: int, call: Call, seen: Sighting) -> Verdict:
    if isinstance(seen.claim, Raised):
        return _by_claim(seen.claim, call)
    if code != 0:
        return _bad("exit", "Exit", f"exit code {code}")
    if isinstance(call, Command):
        return Verdict(status="ok")
    return _by_claim(seen.claim, call)


def _by_claim(claim: Claim, call: Call) -> Verdict:
    """Believe a call that ended well, in what only it can say."""
    match claim:
        case Raised(type=kind, message=message, traceback=traceback):
            return _bad("error", kind, message, traceback)
        case Returned(value=value, display=display):
            return Verdict(status="ok", value=value, display=display)
        case ReturnedParts(parts=parts) if isinstance(call, Handler):
            return Verdict(status="ok", parts=parts)
        case ReturnedParts():
            return _bad("error", "NoAnswer", "content parts came, and no handler was called")
        case Unfit(reason=reason):
            return _bad("invalid", "InvalidValue", reason)
        case NoAnswer(reason=reason):
            return _bad("error", "NoAnswer", reason)


def _over(limit: Limit, quota: Quota) -> Verdict:
    return _bad(_STATUS[limit], "LimitExceeded", f"over {_quota_text(limit, quota)}")


def _quota_text(limit: Limit, quota: Quota) -> str:
    """Name the quota behind a limit, with its value: what a reader has to change."""
    names: dict[Limit, tuple[str, ...]] = {
        "wall": ("wall_seconds",),
        "cpu": ("cpu_seconds",),
        "memory": ("memory_bytes",),
        "processes": ("processes",),
        "output": ("output_bytes",),
        "disk": ("disk_bytes", "disk_files", "file_bytes"),
    }
    return " or ".join(f"quota.{name} = {getattr(quota, name)}" for name in names[limit])


def _bad(status: Status, kind: str, message: str, traceback: str = "") -> Verdict:
    error = ErrorInfo(type=kind, message=message, traceback=traceback)
    return Verdict(status=status, error=error)


def signal_name(number: int) -> str:
    """Give a signal's name, or its number where it has none (real-time signals)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

"""What a verdict is at a command line: an exit status and a line."""

from typing import Final

from sandbox.result import Result

__all__ = ["exit_status", "verdict_line"]

_KILLED: Final = 9
_STATUS: Final = {
    "ok": 0,
    "timeout": 124,
    "cpu_limit": 124,
    "denied": 126,
    "memory_limit": 137,
    "cancelled": 130,
}
_OPTION: Final = {
    "timeout": "--timeout",
    "cpu_limit": "--cpu-seconds",
    "memory_limit": "--memory",
    "process_limit": "--processes",
    "disk_limit": "--disk",
    "output_limit": "--output",
}


def exit_status(result: Result) -> int:
    """Give the exit status for a result: the guest's own unless the verdict has a number."""
    if result.status == "signal":
        return 128 + (result.signal or _KILLED)
    return _STATUS.get(result.status, result.exit_code or 1)


def verdict_line(result: Result) -> str:
    """Say in one line why a result is not ok, and which option gives more of what ran out."""
    reason = _reason(result)
    if result.status not in _OPTION:
        return f"{result.status}: {reason}"
    seconds = result.usage.wall_seconds
    return f"{result.status}: {reason} (ran {seconds:.2f} s): see {_OPTION[result.status]}"


def _reason(result: Result) -> str:
    if not result.error:
        return "no reason was given"
    if result.status == "error":
        return f"{result.error.type}: {result.error.message}"
    return result.error.message

"""Whether a run went as the same run before: what a smaller policy must not change."""

from collections.abc import Iterable
from typing import Any, cast

from sandbox.record import Event, FileEvent, NetworkEvent, ProgramEvent, SystemCallEvent
from sandbox.review.made_up import normal_path, normal_text
from sandbox.review.model import Run
from sandbox.review.used import plain

__all__ = ["behaves_the_same"]

_LISTED = 5


def behaves_the_same(before: Run, after: Run) -> tuple[str, ...]:
    """Give what matters and is different, a sentence each; empty where nothing is.

    Compared are the verdict, the exit code, the value, the files that were left, the programs that
    were started, and what was allowed before and is refused or missing now. Times, temporary names
    and what files hold are not.
    """
    return (
        *_verdicts(before, after),
        *_sets("left", _left(before), _left(after)),
        *_sets("started", _programs(before), _programs(after)),
        *_refusals(before, after),
    )


def _verdicts(before: Run, after: Run) -> Iterable[str]:
    pairs: dict[str, tuple[object, object]] = {
        "the verdict": (before.result.status, after.result.status),
        "the exit code": (before.result.exit_code, after.result.exit_code),
        "the signal": (before.result.signal, after.result.signal),
        "the error": (_error(before), _error(after)),
        "the value": (_normal(before.result.value), _normal(after.result.value)),
        "the limits reached": (sorted(before.result.limits_hit), sorted(after.result.limits_hit)),
    }
    for what, (was, now) in pairs.items():
        if was != now:
            yield f"{what} was {plain(repr(was))} and is {plain(repr(now))}"


def _error(run: Run) -> str:
    return run.result.error.type if run.result.error else ""


def _normal(value: Any) -> Any:
    """Give a value with the names in it that were made up marked."""
    if isinstance(value, str):
        return normal_path(value) if value.startswith("/") else normal_text(value)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {normal_text(key): _normal(each) for key, each in members}
    if isinstance(value, list | tuple):
        return [_normal(each) for each in cast("list[Any]", value)]
    return value


def _left(run: Run) -> set[str]:
    """Name what was left, and whether there is anything in it."""
    return {
        f"{normal_path(each.path)} {each.change}" + ("" if each.size_bytes else ", empty")
        for each in run.left
    }


def _programs(run: Run) -> set[str]:
    return {
        normal_path(event.path)
        for event in run.record.events
        if isinstance(event, ProgramEvent) and event.outcome == "allowed"
    }


def _sets(verb: str, before: set[str], after: set[str]) -> Iterable[str]:
    if before - after:
        yield f"{_listed(before - after)}: was {verb} before, and is not"
    if after - before:
        yield f"{_listed(after - before)}: is {verb}, and was not before"


def _refusals(before: Run, after: Run) -> Iterable[str]:
    """Say what worked and does not; what works sometimes, in both, is no difference."""
    worked = _done(before, {"allowed"})
    stopped = _done(after, {"refused", "missing"}) - _done(after, {"allowed"})
    lost = worked & stopped - _done(before, {"refused", "missing"})
    if lost:
        yield f"{_listed(lost)}: was allowed before, and is not"


def _done(run: Run, outcomes: set[str]) -> set[str]:
    return {_what(event) for event in run.record.events if event.outcome in outcomes}


def _what(event: Event) -> str:
    match event:
        case FileEvent():
            return f"{event.access} {normal_path(event.path)}"
        case ProgramEvent():
            return f"start {normal_path(event.path)}"
        case NetworkEvent():
            what = event.name or normal_path(event.address)
            return f"{event.action} {what} {event.port or ''}".rstrip()
        case SystemCallEvent():
            return f"system call {event.name}"
        case _:
            return f"{event.kind} event"


def _listed(names: set[str]) -> str:
    shown = ", ".join(plain(name) for name in sorted(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"

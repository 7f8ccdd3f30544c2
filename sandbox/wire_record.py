"""Reads what a watcher wrote down of a guest, and what the guest's own Python says of itself.

The watcher is ours, but all names in its lines are the guest's; the evidence is the guest's own
word. So each is checked as every other answer is, and what does not fit is left out and counted.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from sandbox.record import (
    EnvironmentEvent,
    Event,
    ProgramEvent,
    PythonEvent,
    Record,
    Sample,
    SeenProcess,
    SystemCallCount,
)
from sandbox.wire_json import Body, Json, Malformed, decode_json
from sandbox.wire_output import printable

__all__ = ["CutShort", "Naming", "Watched", "parse_record"]

LINE_DEPTH: Final = 4
EVIDENCE_DEPTH: Final = 2
MOST_NAME_CHARACTERS: Final = 200
_EVENT: Final = TypeAdapter[Event](Event)


class CutShort(Exception):
    """The watcher's lines have no end: it ended before the guest did."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What the numbers in a watcher's lines are called."""

    calls: Mapping[int, str]
    reasons: Mapping[str, str]
    """Why the filter refuses a call, by its name; the reason of the default under "*"."""
    unwatched: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """All that came of one watched call."""

    lines: Body
    evidence: Sequence[Body]
    samples: tuple[Sample, ...]
    """Their times are since asked_at; in the record they are since the call's own code began."""
    name: str
    """What the call itself is called."""
    asked_at: float
    """When its guest was given the call, on the monotonic clock."""
    seconds: float
    """How long it ran from then on: no evidence is from later."""


@dataclass
class _Reading:
    """What was read so far."""

    naming: Naming
    events: list[Event] = field(default_factory=list[Event])
    places: list[Event | None] = field(default_factory=list[Event | None])
    processes: dict[int, SeenProcess] = field(default_factory=dict[int, SeenProcess])
    repeats: dict[int, tuple[int, float]] = field(default_factory=dict[int, tuple[int, float]])
    calls: list[SystemCallCount] = field(default_factory=list[SystemCallCount])
    threads: int = 0
    not_kept: int = 0
    begun_at: float | None = None
    is_whole: bool = False


def parse_record(watched: Watched, naming: Naming) -> Record:
    """Make the record of a call. Raises CutShort where the watcher did not come to its end."""
    reading = _Reading(naming)
    for line in bytes(watched.lines).splitlines():
        try:
            _take(reading, decode_json(line, depth=LINE_DEPTH))
        except (Malformed, ValidationError, KeyError, TypeError, ValueError):
            reading.not_kept += 1
    if not reading.is_whole:
        raise CutShort
    events = [*_with_repeats(reading), *_evidence(watched)]
    events.sort(key=lambda event: event.at)
    return Record(
        processes=_processes(reading, events, watched.name),
        events=tuple(events),
        samples=tuple(_samples(watched, reading.begun_at)),
        seconds=round(max(0.0, watched.seconds - _shift(watched, reading.begun_at)), 6),
        system_calls=tuple(sorted(reading.calls, key=lambda each: each.name)),
        threads=reading.threads,
        not_kept=reading.not_kept,
        unwatched=naming.unwatched,
    )


def _take(reading: _Reading, line: Json) -> None:
    """Take one line of runners/watch_log.py."""
    match line:
        case {"event": dict(event), "process": process, "at": at}:
            reading.places.append(None)  # the place is taken, even if it does not fit
            reading.places[-1] = _event(reading.naming, {**event, "process": process, "at": at})
        case {"process": int(number), "parent": parent, "pid": pid, "at": at}:
            said = {"number": number, "parent": parent, "pid": pid, "started_at": at}
            reading.processes[number] = SeenProcess.model_validate(
                {**said, "ended_at": None, "name": ""}
            )
        case {"begun": float(at)}:
            reading.begun_at = at
        case {"ended": int(number), "at": float(at)}:
            seen = reading.processes[number]
            reading.processes[number] = seen.model_copy(update={"ended_at": at})
        case {"repeats": list(repeats)}:
            rows = cast("list[tuple[int, int, float]]", repeats)
            reading.repeats |= {place: (times, last) for place, times, last in rows}
        case {"calls": list(rows)}:
            reading.calls += [
                _call_count(reading.naming, row) for row in cast("list[list[int]]", rows)
            ]
        case {"threads": int(number)}:
            reading.threads = number
        case {"not_kept": int(number)}:
            reading.not_kept += number
        case "end":
            reading.is_whole = True
        case _:
            pass


def _event(naming: Naming, said: dict[str, Any]) -> Event:
    """Check an event, and name its numbers."""
    if said["kind"] == "system_call":
        name = _call_name(naming, said.pop("number"))
        error = said.pop("error")
        why = naming.reasons.get(name) or naming.reasons["*"]
        said |= {"name": name, "error": _error_name(error), "why": why}
    return _EVENT.validate_python(said)


def _call_name(naming: Naming, number: int) -> str:
    return naming.calls.get(number, f"call {number}")


def _error_name(error: int) -> str:
    return errno.errorcode.get(error, f"error {error}") if error else "nothing"


def _call_count(naming: Naming, row: list[int]) -> SystemCallCount:
    number, count, refused = row
    return SystemCallCount(name=_call_name(naming, number), count=count, refused=refused)


def _samples(watched: Watched, begun_at: float | None) -> Iterator[Sample]:
    """Count the time from where events do: what was before is the interpreter's start."""
    shift = _shift(watched, begun_at)
    for sample in watched.samples:
        at = round(sample.at - shift, 4)
        if at >= 0:
            yield sample.model_copy(update={"at": at})


def _shift(watched: Watched, begun_at: float | None) -> float:
    return max(0.0, begun_at - watched.asked_at) if begun_at else 0.0


def _with_repeats(reading: _Reading) -> Iterator[Event]:
    for place, event in enumerate(reading.places):
        if event is None:
            continue
        if again := reading.repeats.get(place):
            count, last_at = again
            yield event.model_copy(update={"count": count, "last_at": last_at})
        else:
            yield event


def _evidence(watched: Watched) -> Iterator[Event]:
    """Read what the guest says of itself; what has none of the forms is left out."""
    for body in watched.evidence:
        try:
            said = decode_json(body, depth=EVIDENCE_DEPTH)
            if isinstance(said, dict):
                yield _evidence_event(said, watched.seconds)
        except (Malformed, ValidationError, KeyError, TypeError, ValueError):
            continue


def _evidence_event(said: dict[str, Any], seconds: float) -> Event:
    at = min(max(0.0, float(said["at"])), seconds)
    detail, where = printable(said["detail"]), printable(said["where"])
    if said["action"] == "environment":
        return EnvironmentEvent(at=at, process=1, name=detail)
    return PythonEvent(at=at, process=1, action=said["action"], detail=detail, where=where)


def _processes(reading: _Reading, events: Sequence[Event], name: str) -> tuple[SeenProcess, ...]:
    """Make the processes, each named after the last program that it became."""
    names: dict[int, str] = {1: name}
    for event in events:
        if isinstance(event, ProgramEvent) and event.outcome == "allowed":
            names[event.process] = " ".join(event.argv)[:MOST_NAME_CHARACTERS] or event.path
    return tuple(
        seen.model_copy(update={"name": names.get(number, "")})
        for number, seen in reading.processes.items()
    )

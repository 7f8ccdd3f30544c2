"""What runs used of what a policy allows, and the words for it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import PurePosixPath
from typing import Final

from sandbox.policy import Policy
from sandbox.policy_values import host_within
from sandbox.record import (
    EnvironmentEvent,
    Event,
    FileEvent,
    NetworkEvent,
    ProgramEvent,
    PythonEvent,
)
from sandbox.review.model import Run

__all__ = [
    "Seen",
    "allowed_names",
    "events_of",
    "is_outward",
    "names_given",
    "outward",
    "package_reads",
    "plain",
    "programs_started",
    "same_program",
    "tells_environment",
    "told",
    "variables_read",
]

PACKAGES: Final = PurePosixPath("/opt/packages")
ALL_VARIABLES: Final = "*"
"""What an EnvironmentEvent names when all are read at once."""
_PACKAGE_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})
_RUNNERS: Final = "/run/sandbox/runners"
_SHOWN_CHARACTERS: Final = 200
_DONE: Final = {
    "look": "looked at",
    "list": "listed",
    "read": "read",
    "write": "opened {} for writing",
    "create": "made",
    "change": "changed the attributes of",
    "rename": "renamed",
    "link": "linked",
    "remove": "removed",
}
_FAMILIES: Final = ("inet", "inet6")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An event and the run it is of."""

    run: int
    """From 1, as people count."""
    event: Event


def events_of(runs: Sequence[Run]) -> Iterator[Seen]:
    """Give every event of every run, in their order."""
    for number, run in enumerate(runs, start=1):
        for event in run.record.events:
            yield Seen(run=number, event=event)


def plain(text: str) -> str:
    """Make a guest's words fit for one line of a document: bounded, and nothing that acts."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return "".join(char if char.isprintable() else "?" for char in shown)


def told(seen: Iterable[Seen]) -> str:
    """Say what the first of these was, how often it was, and what else was with it.

    At least one; as "read /data/x.csv 3 times, first at 0.12 s of run 1".
    """
    # one event may have touched two places of a grant
    once = {(each.run, id(each.event)): each for each in seen}
    first, *others = sorted(once.values(), key=lambda each: (each.run, each.event.at))
    words = _words(first.event)
    same = [each for each in others if _words(each.event) == words]
    times = first.event.count + sum(each.event.count for each in same)
    often = "once, at" if times <= 1 else f"{times} times, first at"
    more = len({_words(each.event) for each in others} - {words})
    rest = f"; and {more} more" if more else ""
    return f"{words} {often} {first.event.at:.2f} s of run {first.run}{rest}"


def _words(event: Event) -> str:
    match event:
        case FileEvent():
            done = _DONE[event.access]
            path = plain(event.path)
            return done.format(path) if "{}" in done else f"{done} {path}"
        case ProgramEvent():
            return f"started {plain(event.path)}"
        case NetworkEvent(action="resolve"):
            return f"asked for the name {plain(event.name)}"
        case NetworkEvent():
            port = f" port {event.port}" if event.port else ""
            return f"tried to {event.action} to {plain(event.address)}{port}"
        case EnvironmentEvent():
            return f"read the variable {plain(event.name)}"
        case _:
            return event.kind


def outward(runs: Sequence[Run]) -> tuple[Seen, ...]:
    """Give what went beyond the guest's own loopback, and questions for a host's name.

    A question counts also where the resolver is on loopback: that one is the host's, and passes
    it on.
    """
    return tuple(
        seen
        for seen in events_of(runs)
        if isinstance(seen.event, NetworkEvent) and is_outward(seen.event)
    )


def is_outward(event: NetworkEvent) -> bool:
    """Tell whether an event is one that only a network lets through."""
    if event.outcome != "allowed":
        return False
    if event.action == "resolve":
        return True
    return (
        event.action in {"connect", "send"}
        and event.family in _FAMILIES
        and bool(event.address)
        and not _is_own(event.address)
    )


def _is_own(address: str) -> bool:
    """Tell whether an address is the guest's loopback; Linux takes 0.0.0.0 and :: for it too."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_loopback or found.is_unspecified


def allowed_names(runs: Sequence[Run], allowed: Iterable[str]) -> tuple[str, ...]:
    """Give the names that were asked for and that a list of hosts lets through, sorted."""
    names = {
        seen.event.name.lower().rstrip(".")
        for seen in outward(runs)
        if isinstance(seen.event, NetworkEvent) and seen.event.action == "resolve"
    }
    listed = tuple(allowed)
    return tuple(sorted(name for name in names if any(host_within(name, each) for each in listed)))


def programs_started(runs: Sequence[Run]) -> dict[str, list[Seen]]:
    """Give every program that was started, by its path; the engine's own start is none."""
    started: dict[str, list[Seen]] = {}
    for seen in events_of(runs):
        event = seen.event
        if isinstance(event, ProgramEvent) and event.outcome == "allowed" and not _is_ours(event):
            started.setdefault(event.path, []).append(seen)
    return started


def same_program(one: str, other: str) -> bool:
    """Tell whether two paths of the system are one program: a record has links followed."""
    if one == other or "\0" in one + other:
        return one == other
    return os.path.realpath(one) == os.path.realpath(other)


def _is_ours(event: ProgramEvent) -> bool:
    """Tell whether it is the engine that starts a fresh interpreter.

    A guest that feigns it has a program of its own taken for none, and refused from then on.
    """
    return event.process == 1 and _RUNNERS in event.argv


def package_reads(runs: Sequence[Run]) -> list[Seen]:
    """Give what was read of installed packages; that a folder was listed is no use of it.

    The system's own folders of packages count: they are empty where the policy has no packages.
    """
    return [
        seen
        for seen in events_of(runs)
        if isinstance(seen.event, FileEvent)
        and seen.event.access == "read"
        and seen.event.outcome == "allowed"
        and _is_package(PurePosixPath(seen.event.path))
    ]


def _is_package(path: PurePosixPath) -> bool:
    if path.is_relative_to(PACKAGES):
        return True
    return path.parts[:2] in {("/", "usr"), ("/", "opt")} and bool(_PACKAGE_FOLDERS & {*path.parts})


def variables_read(runs: Sequence[Run]) -> dict[str, list[Seen]]:
    """Give every environment variable that was read, by its name, as Python told."""
    read: dict[str, list[Seen]] = {}
    for seen in events_of(runs):
        if isinstance(seen.event, EnvironmentEvent):
            read.setdefault(seen.event.name, []).append(seen)
    return read


def tells_environment(runs: Sequence[Run]) -> bool:
    """Tell whether a variable that is not among those read can be taken for unread.

    Only where the Python of every run told what it did, and none took all of them at once, as for
    a copy, or started another program: that one gets the variables too, and tells nothing.
    """
    is_told = all(_tells(run) for run in runs) and ALL_VARIABLES not in variables_read(runs)
    return is_told and not programs_started(runs)


def _tells(run: Run) -> bool:
    return any(isinstance(event, PythonEvent | EnvironmentEvent) for event in run.record.events)


def names_given(policy: Policy) -> tuple[str, ...]:
    """Give the names of all variables that a policy gives, sorted."""
    return tuple(sorted({*policy.environment.inherit, *policy.environment.values}))

"""What runs did, as sets: how often, in which order and under which made-up names is left out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from sandbox.record import (
    EnvironmentEvent,
    Event,
    FileAccess,
    FileEvent,
    NetworkEvent,
    ProgramEvent,
    PythonEvent,
    SignalEvent,
    SystemCallEvent,
)
from sandbox.review.made_up import normal_path
from sandbox.review.model import Run

__all__ = ["Behaviour", "behaviour_of"]

_PASSING: Final = ("/tmp/", "/dev/shm/")  # noqa: S108 - the guest's
_FIRST_EPHEMERAL_PORT: Final = 32_768
_NUMBER: Final = re.compile(r"(?<= )\d+")
_ENDING: Final = re.compile(r"\.[a-z]{1,4}$")
"""What tells of a temporary file's kind; longer, it may be made up as well."""
_TOLD: Final = frozenset({"decode", "unpickle", "url", "resolve", "library", "program", "other"})
"""What Python alone knows; imports and compiled files are files that are read."""
Words = tuple[str, ...]


class Behaviour(BaseModel):
    """What was done, each thing once, sorted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[tuple[FileAccess, Words], ...] = ()
    """Paths that were used, by what was done with them."""
    missing: Words = ()
    """Paths that were looked for and are not there."""
    programs: Words = ()
    network: Words = ()
    """Names, addresses and ports, as "connect 203.0.113.5 port 443"."""
    refused: Words = ()
    """What a wall said no to, and system calls that the filter refuses."""
    signals: Words = ()
    environment: Words = ()
    """Names of variables that Python told of."""
    python: Words = ()
    """What else only Python told of, as "unpickle os.system"."""
    left: Words = ()
    """Files that a run left, and whether it made, changed or removed them."""
    statuses: Words = ()


def behaviour_of(runs: Sequence[Run]) -> Behaviour:
    """Sum up what the runs did. Two runs of a tool that does the same give the same."""
    every = [(event, _temporary(run)) for run in runs for event in run.record.events]
    files = [(event, passing) for event, passing in every if isinstance(event, FileEvent)]
    events = [event for event, _ in every]
    return Behaviour(
        files=tuple(sorted(_files(files).items())),
        missing=_words(_path(each, passing) for each, passing in files if _is(each, "missing")),
        programs=_words(
            normal_path(each.path)
            for each in events
            if isinstance(each, ProgramEvent) and each.outcome == "allowed"
        ),
        network=_words(
            _network(each)
            for each in events
            if isinstance(each, NetworkEvent) and each.outcome != "refused"
        ),
        refused=_words(what for each, passing in every for what in _refused(each, passing)),
        signals=_words(_signal(each) for each in events if isinstance(each, SignalEvent)),
        environment=_words(each.name for each in events if isinstance(each, EnvironmentEvent)),
        python=_words(
            f"{each.action} {normal_path(each.detail)}"
            for each in events
            if isinstance(each, PythonEvent) and each.action in _TOLD
        ),
        left=_words(f"{normal_path(left.path)} {left.change}" for run in runs for left in run.left),
        statuses=_words(run.result.status for run in runs),
    )


def _words(words: Iterable[str]) -> Words:
    return tuple(sorted(set(words)))


def _files(files: Sequence[tuple[FileEvent, frozenset[str]]]) -> dict[FileAccess, Words]:
    found: dict[FileAccess, set[str]] = {}
    for event, passing in files:
        if event.outcome in {"allowed", "failed"}:
            found.setdefault(event.access, set()).add(_path(event, passing))
    return {access: _words(paths) for access, paths in found.items()}


def _is(event: FileEvent, outcome: str) -> bool:
    return event.outcome == outcome


def _temporary(run: Run) -> frozenset[str]:
    """Give the paths of temporary files: made, and removed again, where such are kept."""
    made: set[str] = set()
    gone: set[str] = set()
    for event in run.record.events:
        if isinstance(event, FileEvent) and event.path.startswith(_PASSING):
            if event.access in {"create", "link"}:
                made.add(event.path)
            elif event.access in {"remove", "rename"}:
                gone.add(event.path)
    return frozenset(made & gone)


def _path(event: FileEvent, passing: frozenset[str]) -> str:
    if event.path not in passing:
        return normal_path(event.path)
    folder, _, name = event.path.rpartition("/")
    ending = _ENDING.search(name)
    return f"{normal_path(folder)}/*{ending[0] if ending else ''}"


def _network(event: NetworkEvent) -> str:
    if event.action == "resolve":
        return f"resolve {event.name.lower().rstrip('.')}"
    if event.family == "unix":
        return f"{event.action} unix {normal_path(event.address)}"
    if not event.address:
        return f"{event.action} on a connected socket"
    port = str(event.port)
    if event.action in {"bind", "listen"} or event.address.startswith("127."):
        # the kernel chose it, and chooses another the next time
        port = "*" if event.port >= _FIRST_EPHEMERAL_PORT else port
    return f"{event.action} {event.address} port {port}"


def _refused(event: Event, passing: frozenset[str]) -> Iterator[str]:
    match event:
        case SystemCallEvent():
            yield f"system call {event.name}"
        case FileEvent(outcome="refused"):
            yield f"{event.access} {_path(event, passing)}"
        case NetworkEvent(outcome="refused"):
            yield _network(event)
        case ProgramEvent(outcome="refused"):
            yield f"start {normal_path(event.path)}"
        case _:
            return


def _signal(event: SignalEvent) -> str:
    return f"{event.signal} to {_NUMBER.sub('*', event.target)}"

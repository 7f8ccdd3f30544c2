"""Where a planted secret can show up: in what was started, asked, sent, written and printed."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sandbox.record import Event, FileEvent, NetworkEvent, ProgramEvent, PythonEvent
from sandbox.result import Result
from sandbox.review.canaries import Canaries
from sandbox.review.model import Run
from sandbox.review.view import Hit, base_name

__all__ = ["Place", "leaks"]

Place: TypeAlias = Literal[
    "arguments", "paths", "names", "sent", "urls", "output", "answer", "files"
]
"""arguments: of programs. paths: of files that were tried. names: of hosts that were asked for,
and of sockets. sent: the first bytes of what was sent. urls: what Python said of its requests and
code. output: stdout and stderr. answer: the value or the error. files: names and contents of what
was left."""


@dataclass(frozen=True, slots=True)
class _Told:
    """Texts that stood in one place, and the words for it."""

    place: Place
    where: str
    texts: tuple[str | bytes, ...]


def leaks(run: Run, canaries: Canaries, places: AbstractSet[Place]) -> Iterator[Hit]:
    """Say which secret is where, never what it is."""
    for number, event in enumerate(run.record.events):
        if told := _told_by(event):
            yield from _found(told, canaries, places, number)
    together = _Told("names", "the names asked for, together", (_labels(run.record.events),))
    for told in (together, *_left_by(run.result, canaries)):
        yield from _found(told, canaries, places)


def _found(
    told: _Told, canaries: Canaries, places: AbstractSet[Place], event: int | None = None
) -> Iterator[Hit]:
    if told.place in places:
        for secret in canaries.in_text(*told.texts):
            yield Hit(event, f"{told.where}: {secret}")


def _told_by(event: Event) -> _Told | None:
    match event:
        case ProgramEvent():
            where = f"the arguments of {base_name(event.path)}"
            return _Told("arguments", where, (" ".join(event.argv), event.path))
        case FileEvent():
            where = f"the path of a file ({event.access})"
            return _Told("paths", where, (event.path, event.named, event.to))
        case NetworkEvent(action="send"):
            to = f" to {event.address} port {event.port}" if event.address else ""
            where = f"what was sent{to}"
            return _Told("sent", where, (event.sent,))
        case NetworkEvent():
            return _Told("names", "a name that was asked for", (event.name, event.address))
        case PythonEvent() if event.action != "program":  # whose arguments are seen from below
            return _Told("urls", f"Python: {event.action}", (event.detail,))
        case _:
            return None


def _labels(events: Iterable[Event]) -> str:
    """Put the first parts of all names together: a secret may go out a few characters a time."""
    names = dict.fromkeys(event.name for event in events if isinstance(event, NetworkEvent))
    return "".join(name.partition(".")[0] for name in names)


def _left_by(result: Result, canaries: Canaries) -> Iterator[_Told]:
    yield _Told("output", "stdout", (result.stdout_bytes, result.stdout))
    yield _Told("output", "stderr", (result.stderr_bytes, result.stderr))
    if result.error:
        yield _Told("answer", "the error", (result.error.message, result.error.traceback))
    values = (value for value in (result.value, *result.partial) if value is not None)
    yield _Told("answer", "the value", tuple(map(repr, values)))
    for path, content in sorted(result.files.items()):
        if path not in canaries.files:
            yield _Told("files", f"the file {path}", (path, content))

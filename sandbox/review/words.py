"""An event in a few words, for a reviewer to read."""

from sandbox.record import (
    EnvironmentEvent,
    Event,
    FileEvent,
    NetworkEvent,
    ProgramEvent,
    PythonEvent,
    SignalEvent,
    SystemCallEvent,
)
from sandbox.review.view import base_name

__all__ = ["LONGEST", "describe", "printable"]

LONGEST = 240
"""Characters of one proof's text."""

_OUTCOMES = {"allowed": "", "refused": ", refused", "missing": ", not there", "failed": ", failed"}
_OWN = 1


def describe(event: Event) -> str:
    """Say what it was, how it ended, how often, and by which process if not the first."""
    times = f", {event.count} times" if event.count > 1 else ""
    process = f", by process {event.process}" if event.process != _OWN else ""
    return f"{_said(event)}{_OUTCOMES[event.outcome]}{times}{process}"


def printable(text: str) -> str:
    """Write out what a screen would not show as it is, and cut what is too long."""
    clean = "".join(
        each if each.isprintable() else ascii(each)[1:-1] for each in text[: LONGEST + 1]
    )
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"


def _said(event: Event) -> str:
    match event:
        case FileEvent():
            said = (event.access, event.path, *(("to", event.to) if event.to else ()))
        case ProgramEvent():
            said = ("started", base_name(event.path), *event.argv[1:])
        case NetworkEvent():
            said = (event.action, _target(event))
        case SignalEvent():
            said = (event.signal, "to", event.target)
        case SystemCallEvent():
            said = (event.name, f"({event.error})")
        case EnvironmentEvent():
            said = ("read", f"${event.name}")
        case PythonEvent():
            said = (event.action, event.detail, *(("at", event.where) if event.where else ()))
    return " ".join(said)


def _target(event: NetworkEvent) -> str:
    if event.name:
        return event.name
    if event.family in {"inet", "inet6"}:
        return f"{event.address or 'an address'} port {event.port}"
    return f"{event.family} {event.address}".rstrip()

"""Looks for events in a record."""

from typing import Any, TypeVar

from sandbox.record import Event, FileEvent, NetworkEvent, ProgramEvent, Record

AnyEvent = TypeVar("AnyEvent", bound=Event)


def all_of(record: Record, kind: type[AnyEvent], **wanted: Any) -> list[AnyEvent]:
    """Give the events of a kind with these values, in order."""
    return [
        event
        for event in record.events
        if isinstance(event, kind)
        and all(getattr(event, name) == value for name, value in wanted.items())
    ]


def accesses(record: Record, path: str) -> list[tuple[str, str]]:
    """Give what was wanted of a file, and what became of it, in order."""
    return [(event.access, event.outcome) for event in all_of(record, FileEvent, path=path)]


def programs(record: Record) -> list[tuple[str, ...]]:
    """Give the programs that were started, as argv, in order."""
    return [event.argv for event in all_of(record, ProgramEvent, outcome="allowed")]


def addresses(record: Record, action: str) -> list[tuple[str, int, str]]:
    """Give the addresses and ports of one action, and what became of it, in order."""
    return [
        (event.address, event.port, event.outcome)
        for event in all_of(record, NetworkEvent, action=action)
    ]

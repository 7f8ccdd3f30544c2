"""One run as the rules look at it: which program a process was, and who is whose child."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, TypeAlias, TypeVar

from sandbox.record import Event, FileEvent, NetworkEvent, ProgramEvent, PythonEvent, SignalEvent
from sandbox.review.canaries import Canaries
from sandbox.review.model import Run

__all__ = ["Address", "Hit", "Relation", "RunView", "base_name", "parse_address"]

Relation: TypeAlias = Literal["itself", "child", "group", "everybody", "init", "other"]
"""Whom a signal is for. child: any descendant. init: PID 1, which is the engine's. other: what is
neither, parents included."""
Address: TypeAlias = IPv4Address | IPv6Address

_OWN = 1
"""SeenProcess.number of the call itself."""
_DNS_PORT = 53
_SAID: Mapping[str, Relation] = {
    "itself": "itself",
    "group": "group",
    "its": "group",  # "its own group"
    "everybody": "everybody",
}
_SETUP = ("python", "environment")
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that a rule was looking for: an event of the run, or words for what is none."""

    event: int | None
    text: str = ""
    """"" where the event speaks for itself."""


class RunView:
    """A run, and what several rules want to know of it. Nothing in it is believed to be whole."""

    def __init__(self, run: Run, canaries: Canaries | None = None) -> None:
        """Look at the run; the canaries are those that were planted in it."""
        self.run = run
        self.canaries = canaries

    @property
    def events(self) -> tuple[Event, ...]:
        """All that was seen."""
        return self.run.record.events

    def each(self, kind: type[_Kind]) -> Iterator[tuple[int, _Kind]]:
        """Give the events of a kind with their places."""
        yield from (
            (place, event) for place, event in self._by_kind[kind] if isinstance(event, kind)
        )

    def program_at(self, place: int) -> str:
        """Give the name of the program that the event's process was then; "" if none was seen."""
        return self._programs[place]

    def is_own_program(self, place: int) -> bool:
        """Whether the event started the subject itself: nobody chose to, but who asked for a run.

        It is the call's own process, before any of the subject's Python was seen to run in it, up
        to the first program that was found: the ones before are a search through PATH.
        """
        return place in self._own_programs

    def path_at(self, event: FileEvent) -> str:
        """Give a file's path; with /proc/self where it is an entry of the process's own."""
        own = self._own_entries.get(event.process)
        path = event.path.rstrip("/") or event.path
        if own is not None and path.startswith(own):
            return f"/proc/self/{path[len(own) :]}"
        return path

    def address_at(self, place: int, event: NetworkEvent) -> str:
        """Give an event's address; of a socket that listens and tells none, what was bound last."""
        return event.address or self._bound.get(place, "")

    def parent_of(self, process: int) -> int | None:
        """Give who started a process; None where it was not seen."""
        return self._parents.get(process)

    def relation(self, event: SignalEvent) -> Relation:
        """Say whom a signal is for."""
        kind, _, number = event.target.partition(" ")
        if known := _SAID.get(kind):
            return known
        target = self._numbers.get(number) if kind == "pid" else _whole(number)
        if kind == "pid" and number == "1":
            return "init"
        if target is None:
            return "other"
        if target == event.process:
            return "itself"
        return "child" if event.process in self._ancestors(target) else "other"

    @cached_property
    def tried_the_network(self) -> bool:
        """Whether it asked for a name or went for an address other than its own loopback's."""
        return any(map(_is_network_attempt, self.events))

    @cached_property
    def _by_kind(self) -> Mapping[type, list[tuple[int, Event]]]:
        kinds: defaultdict[type, list[tuple[int, Event]]] = defaultdict(list)
        for place, event in enumerate(self.events):
            kinds[type(event)].append((place, event))
        return kinds

    @cached_property
    def _programs(self) -> tuple[str, ...]:
        now: dict[int, str] = {}
        names: list[str] = []
        for event in self.events:
            names.append(self._program_now(event.process, now))
            if isinstance(event, ProgramEvent) and event.outcome == "allowed":
                now[event.process] = base_name(event.path)
        return tuple(names)

    def _program_now(self, process: int, now: dict[int, str]) -> str:
        """A process that became no other program is what its nearest parent is."""
        for number in (process, *self._ancestors(process)):
            if number in now:
                return now.setdefault(process, now[number])
        return ""

    @cached_property
    def _own_programs(self) -> frozenset[int]:
        own: set[int] = set()
        for place, event in enumerate(self.events):
            if event.process != _OWN:
                continue
            if event.kind in _SETUP:
                break
            if isinstance(event, ProgramEvent):
                own.add(place)
                if event.outcome == "allowed":
                    break
        return frozenset(own)

    @cached_property
    def _own_entries(self) -> Mapping[int, str]:
        return {seen.number: f"/proc/{seen.pid}/" for seen in self.run.record.processes}

    @cached_property
    def _bound(self) -> Mapping[int, str]:
        last: dict[int, str] = {}
        found: dict[int, str] = {}
        for place, event in self.each(NetworkEvent):
            if event.action == "bind" and event.family in {"inet", "inet6"}:
                last[event.process] = event.address
            if event.action == "listen":
                found[place] = last.get(event.process, "")
        return found

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {str(seen.pid): seen.number for seen in self.run.record.processes}

    @cached_property
    def _parents(self) -> Mapping[int, int]:
        return {
            seen.number: seen.parent
            for seen in self.run.record.processes
            if seen.parent is not None
        }

    def _ancestors(self, process: int) -> tuple[int, ...]:
        """Give the parents from the nearest on; a record that goes round is left where it does."""
        found: dict[int, None] = {process: None}
        while (parent := self._parents.get(process)) is not None and parent not in found:
            found[parent] = None
            process = parent
        return tuple(found)[1:]


def base_name(path: str) -> str:
    """Give the last part of a path."""
    return path.rpartition("/")[2]


def parse_address(text: str) -> Address | None:
    """Read an IP address; an IPv4 one that is written as IPv6 is taken for what it is."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _whole(number: str) -> int | None:
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None


def _is_network_attempt(event: Event) -> bool:
    if isinstance(event, PythonEvent):
        return event.action in {"url", "resolve"} and "localhost" not in event.detail
    if not isinstance(event, NetworkEvent) or event.action not in {"resolve", "connect", "send"}:
        return False
    if event.action == "resolve":
        return event.name.rstrip(".").lower() != "localhost"
    address = parse_address(event.address)
    own = address is None or address.is_loopback or address.is_unspecified
    return not own or (address is not None and event.port == _DNS_PORT)

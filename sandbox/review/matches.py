"""What a rule may look for in one event: the keys of its matches in a rule document.

All keys of a match must fit; a key that is not there asks for nothing. Of a list one is enough.
"""

from abc import abstractmethod
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from sandbox.policy_grants import Document
from sandbox.policy_values import as_tuple
from sandbox.record import (
    EnvironmentEvent,
    FileAccess,
    FileEvent,
    NetworkAction,
    NetworkEvent,
    Outcome,
    ProgramEvent,
    PythonAction,
    PythonEvent,
    SignalEvent,
    SystemCallEvent,
)
from sandbox.review.globs import NO_PATHS, NO_TEXTS, PathGlobs, TextGlobs
from sandbox.review.view import Hit, Relation, RunView, base_name, parse_address

__all__ = [
    "EnvironmentMatch",
    "FileMatch",
    "Match",
    "NetworkMatch",
    "ProgramMatch",
    "PythonMatch",
    "Several",
    "SignalMatch",
    "SystemCallMatch",
]

_One = TypeVar("_One")
Several = Annotated[tuple[_One, ...], BeforeValidator(as_tuple), Field(min_length=1)]
"""A list of at least one."""


def _network(written: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(written))
    except ValueError as error:
        message = f"{written!r} is no address or network: write it as 10.0.0.0/8: {error}"
        raise ValueError(message) from error


Network = Annotated[
    IPv4Network | IPv6Network, PlainValidator(_network), PlainSerializer(str, return_type=str)
]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Match(Document):
    """Something that a rule looks for in a run."""

    @abstractmethod
    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give all that fits, in the order of the run."""


class FileMatch(Match):
    """A file that was looked at, opened, made, changed or removed, or was to be."""

    kind: Literal["file"]
    accesses: Several[FileAccess]
    outcomes: Several[Outcome] = ("allowed", "refused", "missing", "failed")
    paths: PathGlobs
    """Of the path, the name by which the program called it, or the new one of "rename". What a link
    points to is not touched by making it, and does not count."""
    except_paths: PathGlobs = NO_PATHS
    except_programs: TextGlobs = NO_TEXTS
    """Names of programs for which it is ordinary."""

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        for place, event in view.each(FileEvent):
            is_ordinary = self.except_programs.fits(view.program_at(place))
            if not is_ordinary and self._fits(event, view.path_at(event)):
                yield Hit(place)

    def _fits(self, event: FileEvent, path: str) -> bool:
        if event.access not in self.accesses or event.outcome not in self.outcomes:
            return False
        names = (path, event.named.rstrip("/"))
        moved = (event.to,) if event.access == "rename" else ()
        return any(
            self.paths.fits(*texts) and not self.except_paths.fits(*texts)
            for texts in (names, moved)
        )


class ProgramMatch(Match):
    """A program that was started, or was to be. At least one of programs and commands is needed."""

    kind: Literal["program"]
    outcomes: Several[Outcome] = ("allowed", "refused", "missing", "failed")
    programs: TextGlobs = NO_TEXTS
    """Of its name without folders, be it the file's or the link's by which it was called;
    a pattern with a slash is of the whole path."""
    commands: TextGlobs = NO_TEXTS
    """Of its name and all arguments, with one space between."""
    except_commands: TextGlobs = NO_TEXTS
    arguments: TextGlobs = NO_TEXTS
    """Of all arguments, with one space between, without the program's name."""
    starters: TextGlobs = NO_TEXTS
    """Names of the program that started it."""
    except_starters: TextGlobs = NO_TEXTS
    argument_characters: Annotated[int, Field(ge=0)] = 0
    """How long one argument must be, at least."""
    is_own_too: bool = False
    """Whether the program that the review was asked to run counts, too."""

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not self.programs and not self.commands:
            message = "looks for every program: name programs or commands"
            raise ValueError(message)
        return self

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        for place, event in view.each(ProgramEvent):
            is_asked = self.is_own_too or not view.is_own_program(place)
            if is_asked and self._started_by(view.program_at(place)) and self._fits(event):
                yield Hit(place)

    def _started_by(self, starter: str) -> bool:
        wanted = not self.starters or self.starters.fits(starter)
        return wanted and not self.except_starters.fits(starter)

    def _fits(self, event: ProgramEvent) -> bool:
        names = {base_name(event.path), base_name(event.argv[0] if event.argv else "")}
        arguments = " ".join(event.argv[1:])
        commands = [f"{name} {arguments}".rstrip(" ") for name in sorted(names)]
        longest = max(map(len, event.argv), default=0)
        return (
            event.outcome in self.outcomes
            and (not self.programs or self.programs.fits(*names, event.path))
            and (not self.commands or self.commands.fits(*commands))
            and not self.except_commands.fits(*commands)
            and (not self.arguments or self.arguments.fits(arguments))
            and longest >= self.argument_characters
        )


class NetworkMatch(Match):
    """A host's name, an address, a port or a socket's path that was tried."""

    kind: Literal["network"]
    actions: Several[NetworkAction]
    outcomes: Several[Outcome] = ("allowed", "refused", "missing", "failed")
    families: TextGlobs = NO_TEXTS
    except_families: TextGlobs = NO_TEXTS
    addresses: Several[Network] | None = None
    except_addresses: Several[Network] | None = None
    ports: Several[Port] | None = None
    except_ports: Several[Port] | None = None
    names: TextGlobs = NO_TEXTS
    """Of host names, in small letters."""
    except_names: TextGlobs = NO_TEXTS
    sockets: TextGlobs = NO_TEXTS
    """Of the paths of sockets; "@" begins one that is no file."""
    label_characters: Annotated[int, Field(ge=0)] = 0
    """How long a part of the name between dots must be, at least."""

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        for place, event in view.each(NetworkEvent):
            if self._fits(event, view.address_at(place, event)):
                yield Hit(place)

    def _fits(self, event: NetworkEvent, address: str) -> bool:
        return (
            event.action in self.actions
            and event.outcome in self.outcomes
            and (not self.families or self.families.fits(event.family))
            and not self.except_families.fits(event.family)
            and self._fits_port(event.port)
            and self._fits_address(address)
            and self._fits_name(event.name.rstrip(".").lower())
            and (not self.sockets or (event.family == "unix" and self.sockets.fits(address)))
        )

    def _fits_port(self, port: int) -> bool:
        wanted = self.ports is None or port in self.ports
        return wanted and port not in (self.except_ports or ())

    def _fits_address(self, text: str) -> bool:
        """What is no address fits where none is asked for: an unknown listener is not excused."""
        address = parse_address(text)
        if address is None:
            return self.addresses is None
        wanted = self.addresses is None or any(address in each for each in self.addresses)
        return wanted and not any(address in each for each in self.except_addresses or ())

    def _fits_name(self, name: str) -> bool:
        wanted = not self.names or self.names.fits(name)
        longest = max(map(len, name.split(".")))
        return wanted and not self.except_names.fits(name) and longest >= self.label_characters


class SignalMatch(Match):
    """A signal that was sent."""

    kind: Literal["signal"]
    to: Several[Relation]
    except_signals: TextGlobs = NO_TEXTS

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        for place, event in view.each(SignalEvent):
            if not self.except_signals.fits(event.signal) and view.relation(event) in self.to:
                yield Hit(place)


class SystemCallMatch(Match):
    """A system call that the filter refused."""

    kind: Literal["system_call"]
    names: TextGlobs
    except_names: TextGlobs = NO_TEXTS
    errors: Several[Literal["EPERM", "ENOSYS", "nothing"]] | None = None

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        for place, event in view.each(SystemCallEvent):
            if self.errors is not None and event.error not in self.errors:
                continue
            if self.names.fits(event.name) and not self.except_names.fits(event.name):
                yield Hit(place)


class EnvironmentMatch(Match):
    """A variable that the subject's Python read."""

    kind: Literal["environment"]
    names: TextGlobs
    except_names: TextGlobs = NO_TEXTS

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        for place, event in view.each(EnvironmentEvent):
            if self.names.fits(event.name) and not self.except_names.fits(event.name):
                yield Hit(place)


class PythonMatch(Match):
    """Something that only the subject's Python tells."""

    kind: Literal["python"]
    actions: Several[PythonAction]
    details: TextGlobs = NO_TEXTS
    except_details: TextGlobs = NO_TEXTS
    where: TextGlobs = NO_TEXTS
    """Of the file and line of the code that did it."""
    except_where: TextGlobs = NO_TEXTS

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give the events that fit."""
        yield from (Hit(place) for place, event in view.each(PythonEvent) if self._fits(event))

    def _fits(self, event: PythonEvent) -> bool:
        return (
            event.action in self.actions
            and (not self.details or self.details.fits(event.detail))
            and not self.except_details.fits(event.detail)
            and (not self.where or self.where.fits(event.where))
            and not self.except_where.fits(event.where)
        )

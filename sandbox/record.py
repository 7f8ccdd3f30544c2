"""What a watched call was seen to do: one frozen record, JSON in and out.

Everything but PythonEvent and EnvironmentEvent was seen from below the program, by whoever stands
between it and the kernel. Paths, arguments and names are the guest's own words, made printable;
they were read while the call waited, and a guest with several threads or processes can change them
afterwards: a record is what was asked, and no wall depends on it.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "EnvironmentEvent",
    "Event",
    "FileAccess",
    "FileEvent",
    "NetworkAction",
    "NetworkEvent",
    "Outcome",
    "ProgramEvent",
    "PythonAction",
    "PythonEvent",
    "Record",
    "Sample",
    "SeenProcess",
    "SignalEvent",
    "SystemCallCount",
    "SystemCallEvent",
]

Outcome: TypeAlias = Literal["allowed", "refused", "missing", "failed"]
"""What became of what was tried.

allowed: no wall was in its way; whether it then worked is the program's affair. refused: a wall
said no: the filter, the file system, Landlock, the missing network. missing: there is no such file
in what the guest sees. failed: an ordinary fault, as when a folder that is to be made is there.
"""

FileAccess: TypeAlias = Literal[
    "look", "list", "read", "write", "create", "change", "rename", "link", "remove"
]
"""look: asked whether and what it is. list: opened a folder. read, write: opened for it. create:
made, where there was nothing. change: mode, owner, times or attributes. link: a hard or symbolic
link was made."""

NetworkAction: TypeAlias = Literal["resolve", "connect", "send", "bind", "listen"]

PythonAction: TypeAlias = Literal[
    "import",
    "compile",
    "exec",
    "decode",
    "unpickle",
    "url",
    "resolve",
    "library",
    "program",
    "other",
]
"""import: a module. compile, exec: text or code that was made into code, and run. decode: text that
was decoded before it was compiled. unpickle: a class named by a pickle. url: a request. resolve: a
host's name. library: a shared library by ctypes. program: a program to be started."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Event(_Frozen):
    at: float
    """Seconds since the call began."""
    process: int
    """Which process: its `number` in Record.processes."""
    outcome: Outcome = "allowed"
    count: int = 1
    """How often the same process did the same, with the same outcome."""
    last_at: float = 0.0
    """When it did so last; 0 if it was once."""


class FileEvent(_Event):
    """A file was looked at, opened, made, changed or removed, or was to be."""

    kind: Literal["file"] = "file"
    access: FileAccess
    path: str
    """Absolute, as the guest sees it, with links followed as far as it could be told."""
    named: str = ""
    """What the program called it, where that is another text."""
    to: str = ""
    """Where it went or points to: of "rename" and "link"."""


class ProgramEvent(_Event):
    """A program was started in place of the process, execve(2), or was to be."""

    kind: Literal["program"] = "program"
    path: str
    argv: tuple[str, ...]
    is_cut: bool = False
    """Whether there were more arguments, or longer ones, than were kept."""


class NetworkEvent(_Event):
    """A name, an address or a port was tried."""

    kind: Literal["network"] = "network"
    action: NetworkAction
    family: str
    """"inet", "inet6", "unix", or another as "AF_17"."""
    address: str = ""
    """An IP address; of "unix" the path, with "@" before an abstract name."""
    port: int = 0
    name: str = ""
    """Of "resolve": the host name in a DNS question."""
    sent: str = ""
    """Of "send": the first bytes, made printable."""


class SignalEvent(_Event):
    """A signal was sent to a process or a group."""

    kind: Literal["signal"] = "signal"
    signal: str
    target: str
    """"itself", "process 3" by its number in the record, "group 5", "everybody" or "pid 77"."""


class SystemCallEvent(_Event):
    """A system call that the filter refuses."""

    kind: Literal["system_call"] = "system_call"
    name: str
    error: str
    """What the program got: "EPERM", "ENOSYS" or "nothing" (success without effect)."""
    why: str
    """The reason that stands beside the call in policies/seccomp."""


class EnvironmentEvent(_Event):
    """A variable was read, as the program's own Python tells: evidence that code can evade."""

    kind: Literal["environment"] = "environment"
    name: str
    """"*" for all of them at once, as for a copy."""


class PythonEvent(_Event):
    """What only the program's own Python knows: evidence that code can evade or forge."""

    kind: Literal["python"] = "python"
    action: PythonAction
    detail: str
    """A module, a URL, a class...; of "compile" and "exec" the name of the code's file."""
    where: str = ""
    """File and line of the code that did it, as "program.py:7"."""


Event: TypeAlias = Annotated[
    FileEvent
    | ProgramEvent
    | NetworkEvent
    | SignalEvent
    | SystemCallEvent
    | EnvironmentEvent
    | PythonEvent,
    Field(discriminator="kind"),
]


class SeenProcess(_Frozen):
    """A process of the call."""

    number: int
    """1 is the call itself; the others in the order in which they were first seen."""
    parent: int | None
    """None where it was not seen, or is the engine's own PID 1."""
    pid: int
    """Its number in the guest's pid namespace."""
    started_at: float
    """Seconds since the call began, when it was first seen."""
    ended_at: float | None
    """When it said that it ends; None for what was killed, or ended with the call."""
    name: str
    """The last program that it became, as argv; "" for a fork that became none."""


class Sample(_Frozen):
    """What the whole call used up to a moment, or had at it."""

    at: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    output_bytes: int


class SystemCallCount(_Frozen):
    """How often a system call was made, of those that are watched."""

    name: str
    count: int
    refused: int


class Record(_Frozen):
    """What one call did, from its first line on, in the order in which it was first seen."""

    processes: tuple[SeenProcess, ...] = ()
    events: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    system_calls: tuple[SystemCallCount, ...] = ()
    seconds: float = 0.0
    """How long it ran, from its own first line on."""
    threads: int = 0
    """Threads that did something, besides the first of each process: counted with processes."""
    not_kept: int = 0
    """Events over the record's bounds: counted, and not kept one by one."""
    unwatched: tuple[str, ...] = ()
    """System calls that are not watched: they move bytes, memory and time, and name nothing."""

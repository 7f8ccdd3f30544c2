"""What became of a call: one frozen record, JSON in and out."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from sandbox.wire import (
    Display,
    Note,
    Part,
    describe_display,
    describe_part,
    parse_display,
    parse_parts,
)

__all__ = [
    "CallFailed",
    "Enforced",
    "ErrorInfo",
    "LeftOutFile",
    "Phases",
    "Result",
    "Status",
    "Usage",
]

Status: TypeAlias = Literal[
    "ok",
    "error",
    "exit",
    "signal",
    "timeout",
    "cpu_limit",
    "memory_limit",
    "process_limit",
    "output_limit",
    "disk_limit",
    "denied",
    "invalid",
    "cancelled",
]
"""The verdict, decided by the host from what it saw.

ok: ended as it should, with a value that keeps the rules. error: the code raised, or gave no
answer. exit: ended with another exit code than 0. signal: killed by a signal that was not ours.
timeout: over quota.wall_seconds. cpu_limit, memory_limit, process_limit, output_limit, disk_limit:
over that quota. denied: the policy forbids it. invalid: the value is not JSON, or over
quota.result_bytes or quota.result_depth. cancelled: given up without an exception, as a batch
does; a cancelled task raises instead.
"""


def _to_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)


Content = Annotated[
    bytes,
    PlainValidator(_to_bytes),
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
]
"""Bytes; base64 in JSON."""


def _to_parts(value: tuple[Part, ...] | list[Any]) -> tuple[Part, ...]:
    return value if isinstance(value, tuple) else parse_parts(value)


def _describe_parts(parts: tuple[Part, ...]) -> list[Any]:
    return [describe_part(part) for part in parts]


Parts = Annotated[
    tuple[Part, ...],
    PlainValidator(_to_parts),
    PlainSerializer(_describe_parts, when_used="json"),
]
"""Content parts; in JSON as a guest sends them, with base64."""


def _to_display(value: Mapping[str, Any]) -> Display:
    is_ours = any(isinstance(form, bytes) for form in value.values())
    return value if is_ours else parse_display(dict(value))


Shown = Annotated[
    Mapping[str, Any],
    PlainValidator(_to_display),
    PlainSerializer(describe_display, when_used="json"),
]
"""A MIME bundle; in JSON as a guest sends it, with base64."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorInfo(_Record):
    """What went wrong: an exception of the guest's, in the guest's own words, or why not ok."""

    type: str
    message: str
    traceback: str = ""


class LeftOutFile(_Record):
    """A file of the work folder that was not handed back, and why."""

    path: str
    reason: str


class Usage(_Record):
    """What the call used, over its whole process tree.

    cpu_seconds: as the kernel has counted it when the call has ended. A program that writes its
    answer itself and ends at once can be short of a tick of the kernel's clock, 1 to 10 ms.
    """

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    peak_processes: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    disk_bytes: int = 0


class Phases(_Record):
    """Where the time went, in seconds: waiting for a place, preparing, running, tearing down."""

    queued: float = 0.0
    prepared: float = 0.0
    ran: float = 0.0
    torn_down: float = 0.0


class Enforced(_Record):
    """Which mechanism held each limit; every field names one or more, joined by "+"."""

    wall: str
    cpu: str
    memory: str
    processes: str
    output: str
    disk: str
    files: str
    network: str
    system_calls: str
    isolation: str


class Result(_Record):
    """The fate of one call.

    value: JSON, None unless the verdict is ok. parts: content for a model, where a handler gave
    such; value is None then. notes: what a handler says of its resources and of what it left open.
    display: in a session, the value in each form in which it shows itself, by media type: text, or
    the bytes of a picture. session_lost: whether the session ended with this turn.
    error: set unless ok. stdout, stderr: text, faulty
    UTF-8 replaced; stdout_bytes, stderr_bytes: the same as bytes. When more came than
    quota.output_bytes, head and tail are kept and *_dropped counts what is missing between.
    partial: values the code gave before its end. files: what it left in its work folder.
    exit_code: of the main process, None when a signal ended it. signal: that signal.
    limits_hit: every limit that the kernel or the host saw reached, also when the code coped.
    """

    status: Status
    value: Any = None
    error: ErrorInfo | None = None
    exit_code: int | None = None
    signal: int | None = None
    stdout_bytes: Content = b""
    stderr_bytes: Content = b""
    stdout: str = ""
    stderr: str = ""
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    parts: Parts = ()
    display: Shown = Field(default_factory=dict)
    partial: tuple[Any, ...] = ()
    notes: tuple[Note, ...] = ()
    files: Mapping[str, Content] = Field(default_factory=dict)
    left_out: tuple[LeftOutFile, ...] = ()
    limits_hit: tuple[str, ...] = ()
    session_lost: bool = False
    usage: Usage = Usage()
    phases: Phases = Phases()
    enforced: Enforced
    policy: str = ""
    """Fingerprint of the policy."""

    @property
    def ok(self) -> bool:
        """Whether the verdict is "ok"."""
        return self.status == "ok"

    def unwrap(self) -> Any:
        """Give the value, or raise CallFailed with this result in it."""
        if self.ok:
            return self.value
        raise CallFailed(self)

    def to_json(self) -> str:
        """Give this record as one JSON document."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what to_json gave. Raises pydantic.ValidationError for anything else."""
        return cls.model_validate_json(text)


class CallFailed(Exception):
    """Raised by Result.unwrap() for every verdict but ok; the whole result is in .result."""

    def __init__(self, result: Result) -> None:
        """Keep the result; say its verdict and the last line of its error."""
        reason = f": {result.error.type}: {result.error.message}" if result.error else ""
        super().__init__(f"{result.status}{reason}")
        self.result = result

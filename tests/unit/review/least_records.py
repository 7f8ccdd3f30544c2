"""Records made by hand: runs that did what a test says."""

from collections.abc import Mapping
from typing import Any

from sandbox.record import (
    EnvironmentEvent,
    Event,
    FileAccess,
    FileEvent,
    NetworkAction,
    NetworkEvent,
    Outcome,
    ProgramEvent,
    PythonEvent,
    Record,
)
from sandbox.result import Enforced, Result, Usage
from sandbox.review.model import Dependency, Finding, LeftFile, Proof, Review, Run, Subject

ENFORCED = Enforced(**dict.fromkeys(Enforced.model_fields, "a test"))
USAGE = Usage(
    wall_seconds=0.3,
    cpu_seconds=0.2,
    peak_memory_bytes=30 << 20,
    peak_processes=1,
    stdout_bytes=10,
    disk_bytes=4096,
)


def file(access: FileAccess, path: str, *, outcome: Outcome = "allowed", **more: Any) -> FileEvent:
    given: dict[str, Any] = {"at": 0.1, "process": 1, **more}
    return FileEvent(access=access, path=path, outcome=outcome, **given)


def read(path: str, **more: Any) -> FileEvent:
    return file("read", path, **more)


def started(path: str, *argv: str, outcome: Outcome = "allowed") -> ProgramEvent:
    return ProgramEvent(at=0.2, process=2, path=path, argv=argv or (path,), outcome=outcome)


def network(
    action: NetworkAction, address: str = "", *, outcome: Outcome = "allowed", **more: Any
) -> NetworkEvent:
    given: dict[str, Any] = {"family": "inet6" if ":" in address else "inet", "port": 443, **more}
    return NetworkEvent(at=0.3, process=1, action=action, address=address, outcome=outcome, **given)


def variable(name: str) -> EnvironmentEvent:
    return EnvironmentEvent(at=0.1, process=1, name=name)


def imported(module: str) -> PythonEvent:
    return PythonEvent(at=0.1, process=1, action="import", detail=module)


def result(**changes: Any) -> Result:
    given: dict[str, Any] = {"status": "ok", "exit_code": 0, "usage": USAGE, **changes}
    return Result(**given, enforced=ENFORCED)


def run(
    *events: Event,
    left: tuple[LeftFile, ...] = (),
    record: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """Make a run. record: more of the record; changes: of the result."""
    made = Record(events=events, **(record or {}))
    return Run(input="", result=result(**changes), record=made, left=left)


def usage(**changes: Any) -> Usage:
    return USAGE.model_copy(update=changes)


def finding(rule: str, severity: Any = "low") -> Finding:
    proof = Proof(run=0, text="it was so")
    return Finding(
        rule=rule, severity=severity, title="It is.", reason="It matters.", proofs=(proof,), count=1
    )


def review(*runs: Run, **changes: Any) -> Review:
    subject = Subject(
        kind="function",
        name="tools:weather",
        hash="aa" * 32,
        dependencies=(Dependency(name="requests 2.32.3", hash="bb" * 32),),
    )
    given: dict[str, Any] = {
        "subject": subject,
        "policy_name": "review",
        "policy_fingerprint": "0123456789abcdef",
        "policy_says": (),
        "reviewed_at": "2026-01-02T03:04:05Z",
        "runs": runs or (run(),),
    }
    return Review(**{**given, **changes})

"""Records by hand: events in a line each, and runs around them."""

from collections.abc import Mapping, Sequence
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
    PythonAction,
    PythonEvent,
    Record,
    SeenProcess,
    SignalEvent,
    SystemCallEvent,
)
from sandbox.result import Enforced, Result
from sandbox.review.canaries import Canaries
from sandbox.review.findings import find
from sandbox.review.model import Finding, LeftFile, Run
from sandbox.review.rules import Rules

ENFORCED = Enforced(**dict.fromkeys(Enforced.model_fields, "test"))
RULES = Rules.load()
TOOL = ProgramEvent(at=0, process=1, path="/usr/bin/tool", argv=("tool",))
"""What the review was asked to run."""


def touched(path: str, access: FileAccess = "read", **more: Any) -> FileEvent:
    given: dict[str, Any] = {"process": 1, **more}
    return FileEvent(at=1, access=access, path=path, **given)


def missing(path: str, access: FileAccess = "read", **more: Any) -> FileEvent:
    return touched(path, access, outcome="missing", **more)


def refused(path: str, access: FileAccess = "write", **more: Any) -> FileEvent:
    return touched(path, access, outcome="refused", **more)


def started(*argv: str, path: str = "", process: int = 2, **more: Any) -> ProgramEvent:
    where = path or (argv[0] if "/" in argv[0] else f"/usr/bin/{argv[0]}")
    return ProgramEvent(at=1, process=process, path=where, argv=argv, **more)


def tried(
    action: NetworkAction,
    address: str = "",
    port: int = 0,
    *,
    family: str = "",
    outcome: Outcome = "refused",
    **more: Any,
) -> NetworkEvent:
    guessed = "inet6" if ":" in address else "inet"
    given: dict[str, Any] = {"process": 1, **more}
    return NetworkEvent(
        **given,
        at=1,
        action=action,
        family=family or guessed,
        address=address,
        port=port,
        outcome=outcome,
    )


def asked(name: str, **more: Any) -> NetworkEvent:
    return tried("resolve", name=name, outcome="allowed", **more)


def signalled(target: str, signal: str = "SIGTERM", process: int = 1) -> SignalEvent:
    return SignalEvent(at=1, process=process, signal=signal, target=target)


def denied(name: str, error: str = "EPERM") -> SystemCallEvent:
    why = "a reason of the list"
    return SystemCallEvent(at=1, process=1, outcome="refused", name=name, error=error, why=why)


def variable(name: str) -> EnvironmentEvent:
    return EnvironmentEvent(at=1, process=1, name=name)


def told(action: PythonAction, detail: str, where: str = "tool.py:7", at: float = 1) -> PythonEvent:
    return PythonEvent(at=at, process=1, action=action, detail=detail, where=where)


def process(number: int, parent: int | None = 1, started_at: float = 0, **more: Any) -> SeenProcess:
    given: dict[str, Any] = {"pid": number + 1, "ended_at": None, "name": "", **more}
    return SeenProcess(number=number, parent=parent, started_at=started_at, **given)


def run(
    *events: Event,
    processes: Sequence[SeenProcess] = (),
    left: Sequence[LeftFile] = (),
    record: Mapping[str, Any] | None = None,
    **result: Any,
) -> Run:
    seen = Record(events=events, processes=tuple(processes), **(record or {}))
    given: dict[str, Any] = {"status": "ok", "enforced": ENFORCED, **result}
    fate = Result(**given)
    return Run(input="", result=fate, record=seen, left=tuple(left))


def found(*runs: Run, rules: Rules = RULES, canaries: Canaries | None = None) -> dict[str, Finding]:
    """Give the findings by the names of their rules."""
    return {each.rule: each for each in find(runs, rules, canaries)}


def severities(*runs: Run, canaries: Canaries | None = None) -> dict[str, str]:
    return {name: each.severity for name, each in found(*runs, canaries=canaries).items()}

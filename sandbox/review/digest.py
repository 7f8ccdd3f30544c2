"""A review as short tables for a terminal: a verdict, then each kind, the surprising first."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sandbox.record import (
    EnvironmentEvent,
    Event,
    FileEvent,
    NetworkEvent,
    Outcome,
    ProgramEvent,
    PythonEvent,
    SignalEvent,
    SystemCallEvent,
)
from sandbox.review.model import Review, Run

__all__ = ["Digest", "Table", "digest"]

MOST_ROWS: Final = 15
_SURPRISE: Final[dict[Outcome, int]] = {"refused": 0, "missing": 1, "failed": 2, "allowed": 3}
_UNSURPRISING: Final = (
    *("/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/opt/", "/run/sandbox/", "/proc/self/"),
    *("/etc/ld.so.", "/dev/null", "/dev/urandom", "/etc/nsswitch.conf", "/etc/passwd"),
    *("/etc/localtime", "/sys/devices/system/cpu/", "/selinux", "/sys/fs/selinux"),
)
"""Where looking and reading is what every program does as it starts."""
_ACCESSES: Final = ("remove", "rename", "create", "write", "change", "link", "read", "list", "look")
"""The most telling first."""

AnyEvent = TypeVar("AnyEvent", bound=Event)
Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One kind of what was seen. left_out: how many rows more there are, or none worth showing."""

    title: str
    columns: Row
    rows: tuple[Row, ...]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What a terminal shows of a review."""

    verdict: str
    runs: tuple[str, ...]
    tables: tuple[Table, ...]


def digest(review: Review) -> Digest:
    """Give the verdict, a line a run, and a table for each kind of which there is something."""
    runs = review.runs
    tables = [
        _findings(review),
        _files(runs),
        _table("Programs", ("", "program"), _each(runs, ProgramEvent), _program),
        _table("Network", ("", "tried", "where"), _each(runs, NetworkEvent), _network),
        _table("System calls", ("", "call", "why"), _each(runs, SystemCallEvent), _system_call),
        _table("Signals", ("signal", "to"), _each(runs, SignalEvent), _signal),
        _table("Variables", ("read, says Python",), _each(runs, EnvironmentEvent), _variable),
        _python(runs),
        _left(runs),
    ]
    return Digest(
        verdict=_verdict(review),
        runs=tuple(_run(number, run) for number, run in enumerate(runs, 1)),
        tables=tuple(table for table in tables if table.rows or table.left_out),
    )


def _verdict(review: Review) -> str:
    counts = {
        severity: sum(finding.severity == severity for finding in review.findings)
        for severity in ("high", "medium", "low", "info")
    }
    said = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    runs = "1 run" if len(review.runs) == 1 else f"{len(review.runs)} runs"
    return f"{review.subject.name}: {review.severity}: {said or 'nothing'} found in {runs}"


def _run(number: int, run: Run) -> str:
    usage, record = run.result.usage, run.record
    name = f" ({run.input})" if run.input else ""
    lost = f", {record.not_kept} events over the record's bounds" if record.not_kept else ""
    return (
        f"run {number}{name}: {run.result.status}, {usage.wall_seconds:.2f} s, "
        f"{usage.cpu_seconds:.2f} s of processor time, {usage.peak_memory_bytes >> 20} MiB, "
        f"{len(record.processes)} processes, {sum(each.count for each in record.events)} events"
        f"{lost}"
    )


def _findings(review: Review) -> Table:
    rows = [(each.severity, each.title, each.proofs[0].text) for each in review.findings]
    return Table(title="Findings", columns=("", "what", "first"), rows=tuple(rows), left_out=0)


def _files(runs: Sequence[Run]) -> Table:
    events = list(_each(runs, FileEvent))
    told = [event for event in events if not _is_unsurprising(event)]
    told.sort(key=lambda event: _ACCESSES.index(event.access))
    table = _table("Files", ("", "access", "path"), told, _file)
    return Table(
        title=table.title,
        columns=table.columns,
        rows=table.rows,
        left_out=table.left_out + len(events) - len(told),
    )


def _is_unsurprising(event: FileEvent) -> bool:
    is_quiet = event.access in {"look", "list", "read"}
    return is_quiet and (event.path.startswith(_UNSURPRISING) or event.path in {"/", "/box"})


def _python(runs: Sequence[Run]) -> Table:
    events = [event for event in _each(runs, PythonEvent) if event.action != "import"]
    return _table("Python", ("says that it did", "what", "where"), events, _evidence)


def _left(runs: Sequence[Run]) -> Table:
    rows = dict.fromkeys((each.change, each.path) for run in runs for each in run.left)
    return _cut("Left in /box", ("", "path"), list(rows))


def _each(runs: Iterable[Run], kind: type[AnyEvent]) -> Iterable[AnyEvent]:
    return (event for run in runs for event in run.record.events if isinstance(event, kind))


def _table(
    title: str, columns: Row, events: Iterable[AnyEvent], row: Callable[[AnyEvent], Row]
) -> Table:
    """Make a row for each different event, the surprising first."""
    ordered = sorted(events, key=lambda event: _SURPRISE[event.outcome])
    return _cut(title, columns, list(dict.fromkeys(map(row, ordered))))


def _cut(title: str, columns: Row, rows: Sequence[Row]) -> Table:
    shown = tuple(rows[:MOST_ROWS])
    return Table(title=title, columns=columns, rows=shown, left_out=len(rows) - len(shown))


def _file(event: FileEvent) -> Row:
    to = f" -> {event.to}" if event.to else ""
    return (_mark(event), event.access, f"{event.path}{to}")


def _program(event: ProgramEvent) -> Row:
    cut = " …" if event.is_cut else ""
    return (_mark(event), f"{event.path}: {' '.join(event.argv)}{cut}")


def _network(event: NetworkEvent) -> Row:
    port = f":{event.port}" if event.port else ""
    return (_mark(event), event.action, event.name or f"{event.address}{port}")


def _system_call(event: SystemCallEvent) -> Row:
    return (event.error, event.name, event.why)


def _signal(event: SignalEvent) -> Row:
    return (event.signal, event.target)


def _variable(event: EnvironmentEvent) -> Row:
    return (event.name,)


def _evidence(event: PythonEvent) -> Row:
    return (event.action, event.detail, event.where)


def _mark(event: Event) -> str:
    return "" if event.outcome == "allowed" else event.outcome

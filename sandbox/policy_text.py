"""A policy in sentences, and what changed between two."""

from dataclasses import dataclass
from typing import Literal

from sandbox.policy_grants import (
    AnyProgram,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
)
from sandbox.policy_quota import GIB, KIB, MIB, TIB
from sandbox.policy_terms import Term, Terms, is_within, terms_by_key

__all__ = ["Change", "diff", "explain", "is_narrower", "widenings"]

_SENTENCES = {
    "network": "Network: {}.",
    "files": "Files of the host: {}.",
    "environment": "Environment variables: {}.",
    "programs": "Programs it may start: {}.",
    "packages": "Python packages beside the standard library: {}.",
    "host_tools": "Tools of the host it may call: {}.",
    "isolation": "Isolation from the host, at least: {}.",
    "fresh_interpreter": "A new interpreter for each call: {}.",
    "quota.wall_seconds": "Real time: {}, then timeout.",
    "quota.grace_seconds": "Time from SIGTERM at the deadline to SIGKILL: {}.",
    "quota.cpu_seconds": "Processor time of all processes: {}, then cpu_limit.",
    "quota.cpus": "Processors at a time: {}.",
    "quota.memory_bytes": "Memory of all processes, no swap: {}, then memory_limit.",
    "quota.processes": "Processes and threads at a time: {}, then process_limit.",
    "quota.open_files": "Open files per process: {}, then EMFILE.",
    "quota.file_bytes": "Largest single file: {}, then disk_limit.",
    "quota.disk_bytes": "Disk for /box, /tmp and /dev/shm together: {}, then disk_limit.",
    "quota.disk_files": "Files and folders on that disk: {}, then disk_limit.",
    "quota.output_bytes": "Output on stdout and stderr together: {}, then output_limit.",
    "quota.result_bytes": "Value as JSON: {}, then invalid.",
    "quota.result_depth": "Levels of nesting in the value: {}, then invalid.",
    "quota.idle_seconds": "Time between two turns of a session: {}, then it is ended.",
    "quota.life_seconds": "Time of a whole session: {}, then it is ended.",
    "quota.returned_files": "Files handed back: {}; the others are left out, and said.",
    "quota.returned_bytes": "Bytes handed back: {}; the others are left out, and said.",
}
_UNITS = (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key that two policies have differently; str() gives it on one line."""

    key: str
    """The key as in a document, such as quota.wall_seconds."""
    before: str
    """What the first policy allows, in words."""
    after: str
    """What the second policy allows, in words."""
    direction: Literal["wider", "narrower", "different"]
    """ "different" when each allows something that the other does not."""

    def __str__(self) -> str:
        """Give key, both sides and direction on one line."""
        return f"{self.key}: {self.before} -> {self.after} ({self.direction})"


def explain(terms: Terms) -> str:
    """Say every permission and quota in a short sentence, one to a line."""
    lines = [_SENTENCES[key].format(_say(key, term)) for key, term in terms_by_key(terms).items()]
    return "\n".join(lines)


def diff(before: Terms, after: Terms) -> tuple[Change, ...]:
    """Give every key that is enforced differently; names and reasons are not compared."""
    later = terms_by_key(after)
    pairs = ((key, term, later[key]) for key, term in terms_by_key(before).items())
    return tuple(_change(*pair) for pair in pairs if not _is_same(*pair[1:]))


def widenings(base: Terms, new: Terms) -> tuple[Change, ...]:
    """Give every key by which a policy allows anything that its base does not."""
    return tuple(change for change in diff(base, new) if change.direction != "narrower")


def is_narrower(new: Terms, base: Terms) -> bool:
    """Tell whether a policy allows nothing that its base does not; an equal one does not either."""
    return not widenings(base, new)


def _is_same(before: Term, after: Term) -> bool:
    return is_within(before, after) and is_within(after, before)


def _change(key: str, before: Term, after: Term) -> Change:
    direction: Literal["wider", "narrower", "different"] = "different"
    if is_within(after, before):
        direction = "narrower"
    elif is_within(before, after):
        direction = "wider"
    return Change(key=key, before=_say(key, before), after=_say(key, after), direction=direction)


def _say(key: str, term: Term) -> str:
    match term:
        case bool():
            return "yes" if term else "no"
        case int() | float():
            return _say_amount(key, term)
        case str():
            return term
        case tuple():
            return "; ".join(_say_file(grant) for grant in term) or "none"
        case Environment():
            return _say_environment(term)
        case _:
            return _say_kind(term)


def _say_kind(term: Term) -> str:
    match term:
        case Hosts() | ListedPrograms() | ListedHostTools():
            return "only " + ", ".join(term.allow)
        case FullNetwork():
            return f"all of the host's ({term.reason})"
        case InstalledPackages():
            return f"those installed on the host, read-only ({term.reason})"
        case AnyProgram():
            return "any it can see"
        case _:
            return "none"


def _say_file(grant: FileGrant) -> str:
    place = "" if grant.at == grant.path else f" as {grant.at}"
    return f"{grant.access} {grant.path}{place} ({grant.reason})"


def _say_environment(environment: Environment) -> str:
    values = [f"{name}={value!r}" for name, value in environment.values.items()]
    inherited = [f"{name} from the host" for name in environment.inherit]
    return ", ".join(values + inherited) or "none of the host's"


def _say_amount(key: str, amount: float) -> str:
    if key.endswith("_seconds"):
        return f"{int(amount) if amount == int(amount) else amount} s"
    if not key.endswith("_bytes"):
        return str(amount)
    # the largest unit that says it exactly: a reader compares what is enforced
    for unit, size in _UNITS:
        if amount >= size and amount % size == 0:
            return f"{int(amount) // size} {unit}"
    return f"{amount} bytes"

"""The smallest policy under which the runs of a review pass, as a document and as a Policy."""

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.policy import (
    AnyProgram,
    Change,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    NoPrograms,
    Policy,
    Quota,
    widenings,
)
from sandbox.review.least_document import Table, written
from sandbox.review.least_files import least_files, outside_of
from sandbox.review.least_programs import LeastPrograms, least_programs
from sandbox.review.least_quota import least_quota
from sandbox.review.model import Run
from sandbox.review.places import HostPython, Places
from sandbox.review.repeat import behaves_the_same
from sandbox.review.used import (
    allowed_names,
    names_given,
    outward,
    package_reads,
    tells_environment,
    told,
    variables_read,
)

__all__ = ["Least", "behaves_the_same", "least_policy", "wider_than"]

_STRICT: Final = Policy()


@dataclass(frozen=True, kw_only=True)
class Least:
    """The smallest policy, twice."""

    document: str
    """As TOML: what Policy.load() reads from a file. Its first line says who it is for."""
    policy: Policy


def least_policy(
    base: Policy,
    runs: Sequence[Run],
    *,
    subject: str = "",
    python: HostPython | None = None,
    canaries: Collection[str] = (),
) -> Least:
    """Give the smallest policy under which what the runs did is allowed; it extends "strict".

    base: the policy of the runs. subject: the tool's name, for the first line. python: the
    interpreter of the guests, to read the first line of scripts that it brings. canaries: names of
    variables that the review put there to be stolen; they are never kept. The same runs give the
    same text, as long as the host has the same files.

    It allows nothing that the base does not, but for what wider_than() knows of: where programs
    are fewer than all, no new interpreter is asked for, which would have to be started as one. It
    is made of what was seen in these runs: other arguments may need more.
    """
    tables = [_top(base, runs), *_environment(base, runs, canaries)]
    programs = least_programs(base, runs, Places.of(base, python))
    tables[0] = _with_interpreter(tables[0], base, programs)
    tables += [*_network(base, runs), *_files(base, runs), *_programs(programs)]
    tables += [*_packages(base, runs), *_host_tools(base), *_quota(base, runs)]
    policy = _read(tables)
    if widenings(_STRICT, policy):
        tables[0] = _with_reason(tables[0], runs)
    document = written(_first_line(subject, runs), tables)
    return Least(document=document, policy=_read(tables))


def wider_than(policy: Policy, base: Policy) -> tuple[Change, ...]:
    """Give every key by which a least policy allows what its base does not; there should be none.

    As widenings(), but for two keys. files: a grant of a folder below one of the base's is within
    it, for it was looked whether it is a link. fresh_interpreter: see least_policy().
    """
    same = {"fresh_interpreter"} if not isinstance(policy.programs, AnyProgram) else set[str]()
    if not outside_of(policy.files, base):
        same.add("files")
    return tuple(change for change in widenings(base, policy) if change.key not in same)


def _read(tables: Sequence[Table]) -> Policy:
    keys = tomllib.loads(written("", tables))
    del keys["extends"]
    # Policy() is the preset "strict": what is left out is its
    return Policy.model_validate(keys)


def _first_line(subject: str, runs: Sequence[Run]) -> str:
    whom = subject or "the reviewed tool"
    return f"For {whom}: the least that its {_counted(runs)} needed, made by a security review."


def _counted(runs: Sequence[Run]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _with_reason(top: Table, runs: Sequence[Run]) -> Table:
    reason = f"the tool's {_counted(runs)} used it in a security review"
    return Table(name="", keys={"extends": "strict", "reason": reason, **top.keys}, why=top.why)


# The keys, each only where it differs from strict's


def _top(base: Policy, runs: Sequence[Run]) -> Table:
    keys: dict[str, object] = {"extends": "strict"}
    if base.isolation != _STRICT.isolation:
        keys["isolation"] = base.isolation
    missed = sum(run.record.not_kept for run in runs)
    why = [f"{missed} events were not kept one by one: it may be too small."] if missed else []
    return Table(name="", keys=keys, why=why)


def _with_interpreter(top: Table, base: Policy, programs: LeastPrograms) -> Table:
    if not base.fresh_interpreter:
        return top
    if not isinstance(programs.programs, AnyProgram):
        why = "No fresh_interpreter: it would be a program to start, and those are limited below."
        return Table(name="", keys=top.keys, why=[*top.why, why])
    keys = {**top.keys, "fresh_interpreter": True}
    return Table(name="", keys=keys, why=top.why)


def _network(base: Policy, runs: Sequence[Run]) -> list[Table]:
    seen = outward(runs)
    if not seen:
        return []
    match base.network:
        case FullNetwork():
            return [Table(name="[network]", keys={"kind": "full", "reason": told(seen)})]
        case Hosts(allow=allow):
            names = allowed_names(runs, allow) or allow
            keys = {"kind": "hosts", "allow": names}
            return [Table(name="[network]", keys=keys, why=[told(seen)])]
        case _:  # what the policy does not have cannot have been used
            return []


def _files(base: Policy, runs: Sequence[Run]) -> list[Table]:
    tables: list[Table] = []
    for grant in least_files(base, runs):
        keys = {"path": grant.path, "at": grant.at, "access": grant.access, "reason": grant.reason}
        if grant.at == grant.path:
            del keys["at"]
        tables.append(Table(name="[[files]]", keys=keys))
    return tables


def _environment(base: Policy, runs: Sequence[Run], canaries: Collection[str]) -> list[Table]:
    read, is_told = variables_read(runs), tells_environment(runs)
    kept = [
        name for name in names_given(base) if name not in canaries and (name in read or not is_told)
    ]
    inherit = [name for name in base.environment.inherit if name in kept]
    values = {name: text for name, text in base.environment.values.items() if name in kept}
    if not kept:
        return []
    why = [
        told(read[name]) if name in read else f"{name}: whether it was read cannot be told"
        for name in kept
    ]
    keys = {key: given for key, given in (("inherit", inherit), ("values", values)) if given}
    return [Table(name="[environment]", keys=keys, why=why)]


def _programs(least: LeastPrograms) -> list[Table]:
    match least.programs:
        case NoPrograms():
            return [Table(name="[programs]", keys={"kind": "none"}, why=least.why)]
        case ListedPrograms(allow=allow):
            keys = {"kind": "listed", "allow": allow}
            return [Table(name="[programs]", keys=keys, why=least.why)]
        case _:
            return [Table(name="", keys={}, why=[f"programs: {line}" for line in least.why])]


def _packages(base: Policy, runs: Sequence[Run]) -> list[Table]:
    read = package_reads(runs)
    if not read or not isinstance(base.packages, InstalledPackages):
        return []
    return [Table(name="[packages]", keys={"kind": "installed", "reason": told(read)})]


def _host_tools(base: Policy) -> list[Table]:
    if not isinstance(base.host_tools, ListedHostTools):
        return []
    keys = {"kind": "listed", "allow": base.host_tools.allow}
    why = ["as they were: which of them were called cannot be told"]
    return [Table(name="[host_tools]", keys=keys, why=why)]


def _quota(base: Policy, runs: Sequence[Run]) -> list[Table]:
    strict = dict(Quota())
    judged = {
        key: each for key, each in least_quota(base, runs).items() if each.amount != strict[key]
    }
    if not judged:
        return []
    return [
        Table(
            name="[quota]",
            keys={key: each.amount for key, each in judged.items()},
            remarks={key: each.said for key, each in judged.items()},
        )
    ]

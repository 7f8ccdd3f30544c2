"""Which permissions of a policy no run used."""

from collections.abc import Iterator, Sequence

from sandbox.policy import (
    AnyProgram,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    Policy,
    Quota,
)
from sandbox.policy_values import host_within
from sandbox.review.least_files import uses_by_grant
from sandbox.review.least_quota import peaks_of
from sandbox.review.model import Run
from sandbox.review.used import (
    allowed_names,
    names_given,
    outward,
    package_reads,
    plain,
    programs_started,
    same_program,
    tells_environment,
    variables_read,
)

__all__ = ["unused_grants"]

_GENEROUS = 10
HINT = "Hint: "
"""What begins a sentence about a quota: a large one is no permission, and may be meant."""
_JUDGED = (
    *("wall_seconds", "cpu_seconds", "memory_bytes", "processes", "output_bytes"),
    *("result_bytes", "returned_files", "returned_bytes"),
)


def unused_grants(policy: Policy, runs: Sequence[Run]) -> tuple[str, ...]:
    """Name each permission that no run used, a sentence each; then hints, which begin so.

    That a variable was read only the program's own Python tells: where it does not, the sentence
    says that it cannot be told.
    """
    return (
        *_network(policy, runs),
        *_files(policy, runs),
        *_environment(policy, runs),
        *_programs(policy, runs),
        *_packages(policy, runs),
        *_host_tools(policy),
        *_hints(policy.quota, runs),
    )


def _network(policy: Policy, runs: Sequence[Run]) -> Iterator[str]:
    match policy.network:
        case FullNetwork() if not outward(runs):
            yield "The network is the host's, and no run went beyond its own loopback."
        case Hosts(allow=allow):
            names = allowed_names(runs, allow)
            for host in allow:
                if not any(host_within(name, host) for name in names):
                    yield f"The host {host} may be reached, and no run asked for it."
        case _:
            return


def _files(policy: Policy, runs: Sequence[Run]) -> Iterator[str]:
    used = uses_by_grant(policy, runs)
    for grant in policy.files:
        needs = {use.need for use in used[grant.at]}
        if not needs:
            yield f"{grant.at} may be {_done(grant.access)}, and no run used it."
        elif grant.access == "write" and "write" not in needs:
            yield f"{grant.at} may be written, and it was only read."


def _done(access: str) -> str:
    return "written" if access == "write" else "read"


def _environment(policy: Policy, runs: Sequence[Run]) -> Iterator[str]:
    read, is_told = variables_read(runs), tells_environment(runs)
    for name in names_given(policy):
        if name in read:
            continue
        if is_told:
            yield f"The variable {name} is given, and no run was seen to read it."
        else:
            yield f"The variable {name} is given, and whether a run read it cannot be told."


def _programs(policy: Policy, runs: Sequence[Run]) -> Iterator[str]:
    started = programs_started(runs)
    match policy.programs:
        case AnyProgram() if not started:
            yield "Any program may be started, and no run started one."
        case ListedPrograms(allow=allow):
            for path in allow:
                if not any(same_program(path, each) for each in started):
                    yield f"The program {plain(path)} may be started, and no run started it."
        case _:
            return


def _packages(policy: Policy, runs: Sequence[Run]) -> Iterator[str]:
    if isinstance(policy.packages, InstalledPackages) and not package_reads(runs):
        yield "Installed packages may be imported, and no run read one."


def _host_tools(policy: Policy) -> Iterator[str]:
    if isinstance(policy.host_tools, ListedHostTools):
        for name in policy.host_tools.allow:
            yield f"The host's tool {name} may be called, and whether a run did cannot be told."


def _hints(quota: Quota, runs: Sequence[Run]) -> Iterator[str]:
    peaks = peaks_of(runs)
    for key in _JUDGED:
        peak, most = getattr(peaks, key), getattr(quota, key)
        if peak and most > _GENEROUS * peak:
            yield f"{HINT}quota.{key} is {_amount(most)}, and a run used at most {_amount(peak)}."


def _amount(number: float) -> str:
    """Write a number as documents have it."""
    return f"{number:_.3f}".rstrip("0").rstrip(".") if isinstance(number, float) else f"{number:_}"

"""The system-call list as a container engine takes it, from the same documents as the filter.

It is the outer of two walls. An engine's rules cannot say "all but these values", so a call that
the documents allow in general stands here without conditions; the inner wall, the filter that
PID 1 of the container installs, decides those exactly.
"""

import errno
import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from sandbox.backends.seccomp import THIS_MACHINE
from sandbox.backends.seccomp_lists import Condition, Entry, merge

__all__ = ["engine_profile"]

ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
OF_OUR_PID_1: Final = (
    *("seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"),
    *("prctl", "prlimit64", "setrlimit", "sched_setaffinity", "execve", "capset", "setgroups"),
    *("setuid", "setgid", "setresuid", "setresgid", "setgroups"),
)
"""What it takes to lock oneself down; the inner wall takes these away from the guest."""

Rule = dict[str, Any]


def engine_profile(documents: Sequence[str] = ("guest",), machine: str = THIS_MACHINE) -> str:
    """Give the profile as the JSON of a `seccomp=` security option. EngineFault: a broken list."""
    merged = merge(tuple(documents))
    rules = [rule for name, entries in merged.entries.items() for rule in _rules(name, entries)]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.ENOSYS,
        "architectures": [ARCHITECTURES[machine]],
        "syscalls": [
            {"names": sorted(set(OF_OUR_PID_1)), "action": "SCMP_ACT_ALLOW"},
            *(rule for rule in rules if rule["names"][0] not in OF_OUR_PID_1),
        ],
    }
    return json.dumps(profile)


def _rules(name: str, entries: tuple[Entry, ...]) -> Iterator[Rule]:
    general = next(entry for entry in entries if not entry.when)
    if general.action == "allow":
        yield {"names": [name], "action": "SCMP_ACT_ALLOW"}
        return
    for entry in entries:
        if entry.action == "allow":
            yield from (
                {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(arguments)}
                for arguments in product(*map(_arguments, entry.when))
            )


def _arguments(condition: Condition) -> list[dict[str, Any]]:
    """Give one comparison for each value that the condition takes."""
    return [
        {
            "index": condition.argument,
            "value": condition.bits,
            "valueTwo": value,
            "op": "SCMP_CMP_MASKED_EQ",
        }
        for value in condition.equals.values()
    ]

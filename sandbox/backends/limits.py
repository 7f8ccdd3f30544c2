"""What every guest of a policy is held to and given, whatever starts it."""

import os
import resource
from collections.abc import Mapping
from typing import Final

from sandbox.policy import NoPrograms, Policy, Quota

__all__ = [
    "backstop_seconds",
    "filter_documents",
    "guest_environment",
    "process_limits",
    "search_path",
    "usable_processors",
]

BACKSTOP_SECONDS: Final = 2.0
"""How long after every deadline a guest ends by itself, should its host hang."""
SPARE_PROCESSES: Final = 16
"""By how much RLIMIT_NPROC is wider than a control group that counts the same and says when."""
SPARE_FOR_BRANCHES: Final = 4096
"""Ditto, where branches of a session are counted with it."""
NO_PROCESS_GROUPS: Final = 1  # our own PID 1
STANDARD_FOLDERS: Final = ("/usr/local/bin", "/usr/bin", "/bin")
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHON_CPU_COUNT")


def usable_processors(policy: Policy) -> int:
    """Give how many processors guests of this policy have here: never more than this process."""
    return min(policy.quota.cpus, len(os.sched_getaffinity(0)))


def backstop_seconds(quota: Quota) -> float:
    """Give how long after its start a guest ends by itself."""
    return quota.wall_seconds + quota.grace_seconds + BACKSTOP_SECONDS


def filter_documents(
    policy: Policy, *, is_counted: bool, counts_sockets: bool = True
) -> tuple[str, ...]:
    """Name the system-call lists of a policy.

    is_counted: a control group counts its memory. counts_sockets: the buffers of TCP too.
    """
    names = ["guest"]
    if not is_counted:
        names.append("uncounted-memory")
    elif not counts_sockets:
        names.append("uncounted-sockets")
    if isinstance(policy.programs, NoPrograms):
        names.append("no-programs")
    return tuple(names)


def process_limits(
    quota: Quota, *, is_counted: bool, is_for_sessions: bool = False
) -> list[tuple[int, int]]:
    """Give the limits of each process, setrlimit(2), never over this process's own.

    is_counted: a control group counts the tree's memory and processes. is_for_sessions: the
    process answers many calls, and has branches, which the kernel counts as processes of its own.
    """
    spare = SPARE_FOR_BRANCHES if is_for_sessions else SPARE_PROCESSES
    most_cpu_seconds = quota.life_seconds * quota.cpus if is_for_sessions else quota.cpu_seconds
    processes = quota.processes + NO_PROCESS_GROUPS + (spare if is_counted else 0)
    wanted = {
        resource.RLIMIT_NPROC: processes,  # counted per user namespace, so per guest
        resource.RLIMIT_NOFILE: quota.open_files,
        resource.RLIMIT_FSIZE: quota.file_bytes,
        resource.RLIMIT_CPU: int(most_cpu_seconds) + 2,  # behind the exact limit of the host
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 256,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_STACK: 8 << 20,
    }
    if not is_counted:
        wanted[resource.RLIMIT_AS] = 4 * quota.memory_bytes + (4 << 30)  # behind the watchdog
    return [(limit, _within_ours(limit, value)) for limit, value in wanted.items()]


def _within_ours(limit: int, value: int) -> int:
    """Lower a limit to this process's own: without a capability nobody can raise it."""
    _, hard = resource.getrlimit(limit)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def search_path(folder: str) -> str:
    """Give the guest's PATH: the folder of its interpreter first."""
    return ":".join([folder, *(path for path in STANDARD_FOLDERS if path != folder)])


def guest_environment(policy: Policy, finding: Mapping[str, str], cpus: int) -> dict[str, str]:
    """Give the guest's environment: ours, then what the policy names. Nothing else of the host.

    finding: the variables by which programs and packages are found.
    """
    inherited = {
        name: os.environ[name] for name in policy.environment.inherit if name in os.environ
    }
    return {
        **finding,
        "HOME": "/box",
        "USER": "sandbox",
        "TMPDIR": "/tmp",  # noqa: S108 - the guest's own
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        **dict.fromkeys(THREADS, str(cpus)),
        **inherited,
        **policy.environment.values,
    }

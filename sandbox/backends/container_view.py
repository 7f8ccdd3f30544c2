"""What PID 1 of a container is told before its call: walls, limits, environment."""

import os
import resource
from typing import Any, Final

from sandbox.backends.container_options import ContainerPlan
from sandbox.backends.image_build import WIRE_VERSION
from sandbox.backends.images import Image
from sandbox.backends.limits import (
    backstop_seconds,
    filter_documents,
    guest_environment,
    process_limits,
    search_path,
)
from sandbox.backends.seccomp import compile_filter
from sandbox.policy import AnyProgram, InstalledPackages, ListedPrograms, NoPrograms, Policy

__all__ = ["container_message"]

RUNNERS = "/opt/sandbox/runners"
LIBRARY = "/opt/sandbox/library"
GUEST_NUMBER = 65534
LAST_SECONDS: Final = 30.0
"""How long after its deadline PID 1 may still tell of the call to a host that hears it slowly."""
NOT_IN_GVISOR = {
    *(resource.RLIMIT_NPROC, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_SIGPENDING),
    *(resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO),
}
"""Its kernel has none of the host's things that these bound, and refuses to set them."""


def container_message(
    plan: ContainerPlan,
    image: Image,
    preload: tuple[str, ...],
    *,
    counts_sockets: bool,
    is_for_sessions: bool = False,
) -> dict[str, Any]:
    """Write the configuration that runners/container.py reads. Raises CannotEnforce."""
    policy, quota = plan.policy, plan.policy.quota
    cpus = min(quota.cpus, plan.processors)
    is_counted = plan.runtime == "runc"
    path = image.path or search_path(os.path.dirname(image.command[0]) or "/usr/bin")
    packages = image.packages if isinstance(policy.packages, InstalledPackages) else ()
    # Counted per user of the whole host, without a user namespace of the guest's own.
    left_out = {resource.RLIMIT_NPROC} if is_counted else NOT_IN_GVISOR
    limits = process_limits(quota, is_counted=is_counted, is_for_sessions=is_for_sessions)
    turn_seconds = backstop_seconds(quota)
    documents = filter_documents(policy, is_counted=is_counted, counts_sockets=counts_sockets)
    documents += () if is_counted else ("gvisor",)
    return {
        "wire": WIRE_VERSION,
        "environment": guest_environment(policy, {"PATH": path}, cpus),
        "command": image.command,
        "runners": RUNNERS,
        "python_path": [LIBRARY, *packages],
        "preload": preload,
        "filter": compile_filter(documents).hex(),
        "needs_landlock": isinstance(policy.programs, ListedPrograms),
        "rights": list(_rights(policy)),
        "may_execute": not isinstance(policy.programs, NoPrograms),
        "limits": [(limit, value) for limit, value in limits if limit not in left_out],
        "cpus": cpus,
        "guest_user": None if is_counted else GUEST_NUMBER,
        "is_for_sessions": is_for_sessions,
        "turn_seconds": turn_seconds,
        "deadline_seconds": quota.life_seconds if is_for_sessions else turn_seconds,
        "last_seconds": LAST_SECONDS,
        "fresh_interpreter": policy.fresh_interpreter,
        "quota": quota.model_dump(),
    }


def _rights(policy: Policy) -> list[tuple[str, str]]:
    """Say for Landlock what may be done where: the second wall around files."""
    may_run = isinstance(policy.programs, AnyProgram)
    rights = [("/", "run" if may_run else "read"), ("/dev", "device"), ("/proc", "device")]
    rights += [(folder, "write") for folder in ("/box", "/tmp", "/dev/shm")]  # noqa: S108 - the guest's
    rights += [(grant.at, grant.access) for grant in policy.files if grant.access == "write"]
    if isinstance(policy.programs, ListedPrograms):
        rights += [(program, "run") for program in policy.programs.allow]
    return rights

"""How a container is made from a policy: every wall up, whatever the image says.

One pure function, so that a test can read back from the engine what stands here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sandbox.backends.docker_engine import LABEL
from sandbox.backends.limits import filter_documents
from sandbox.backends.processes import owner_name
from sandbox.backends.seccomp_profile import engine_profile
from sandbox.errors import CannotEnforce
from sandbox.policy import FullNetwork, Policy, Quota

__all__ = ["ContainerPlan", "Runtime", "container_configuration"]

Runtime = Literal["runc", "runsc"]
"""runc: the host's kernel behind namespaces and filters. runsc: gVisor, a kernel of its own."""

GUEST_USER: Final = "65534:65534"
OUR_PROCESSES: Final = 1
"""PID 1, which is no part of the quota."""
SENTRY_PROCESSES: Final = 512
"""Threads of gVisor's own kernel on the host; its guests' are counted inside."""
SENTRY_BYTES: Final = 96 << 20
"""Memory of gVisor's own kernel, on top of the guest's."""
OUR_FILES: Final = 1
"""The folder itself."""
CPU_UNIT: Final = 1_000_000_000
HIDDEN: Final = (
    *("/proc/acpi", "/proc/asound", "/proc/cmdline", "/proc/diskstats", "/proc/interrupts"),
    *("/proc/kallsyms", "/proc/kcore", "/proc/key-users", "/proc/keys", "/proc/latency_stats"),
    *("/proc/partitions", "/proc/sched_debug", "/proc/scsi", "/proc/swaps", "/proc/timer_list"),
    *(
        "/proc/timer_stats",
        "/proc/sys/kernel/random/boot_id",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ),
)
COUNTS_OF_PROCESSORS: Final = (
    "/proc/stat",
    *(f"/sys/devices/system/cpu/{name}" for name in ("online", "possible", "present")),
)
"""They tell of the host's; without them a program counts those that it may use, get_nprocs(3)."""
READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, kw_only=True)
class ContainerPlan:
    """What a container is made from. Two calls with the same plan can take from one stock."""

    policy: Policy
    image: str
    """The id of an image that carries our runner."""
    command: tuple[str, ...]
    """The interpreter in it, and the options that start it."""
    runtime: Runtime
    processors: int
    """Those of the engine's host."""
    hidden: tuple[str, ...] = ()
    """Folders of packages that the policy does not let in."""
    engine_socket: Path | None = None


def container_configuration(plan: ContainerPlan) -> dict[str, Any]:
    """Give the body of the engine's "create a container". Raises CannotEnforce."""
    return {
        "Image": plan.image,
        "Entrypoint": [*plan.command, "/opt/sandbox/runners", "container", "-"],
        "Cmd": [],
        "Env": [],
        "User": GUEST_USER,
        "WorkingDir": "/box",
        "Hostname": "sandbox",
        "Healthcheck": {"Test": ["NONE"]},
        "Volumes": {},
        "OpenStdin": True,
        "StdinOnce": True,  # when the host is gone, stdin ends, and with it PID 1
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Labels": {LABEL: owner_name(), "sandbox-engine.policy": plan.policy.name or "policy"},
        "HostConfig": _host_configuration(plan),
    }


def _host_configuration(plan: ContainerPlan) -> dict[str, Any]:
    quota = plan.policy.quota
    is_gvisor = plan.runtime == "runsc"
    memory = quota.memory_bytes + (SENTRY_BYTES if is_gvisor else 0)
    has_network = isinstance(plan.policy.network, FullNetwork)
    documents = filter_documents(plan.policy, is_counted=not is_gvisor)
    return {
        "AutoRemove": True,
        "Runtime": plan.runtime,
        "NetworkMode": "bridge" if has_network else "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={engine_profile(documents[:1])}"],
        "Memory": memory,
        "MemorySwap": memory,
        "MemorySwappiness": 0,
        "PidsLimit": quota.processes + OUR_PROCESSES + (SENTRY_PROCESSES if is_gvisor else 0),
        "NanoCpus": min(quota.cpus, plan.processors) * CPU_UNIT,
        "OomKillDisable": False,
        "ShmSize": quota.disk_bytes,
        "Tmpfs": dict.fromkeys(("/box", "/tmp"), _tmpfs_options(quota)),  # noqa: S108 - the guest's
        "Mounts": [_mount(plan, grant.path, grant.at, grant.access) for grant in plan.policy.files],
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "MaskedPaths": [*HIDDEN, *COUNTS_OF_PROCESSORS, *plan.hidden],
        "ReadonlyPaths": list(READ_ONLY),
    }


def _tmpfs_options(quota: Quota) -> str:
    """Bound each of the two by the whole quota; PID 1 watches over their sum, tmpfs(5)."""
    size = f"size={quota.disk_bytes},nr_inodes={quota.disk_files + OUR_FILES}"
    return f"rw,nosuid,nodev,exec,{size},uid=65534,gid=65534,mode=700"


def _mount(plan: ContainerPlan, path: str, at: str, access: str) -> dict[str, Any]:
    """Describe one grant. Raises CannotEnforce for one that would show the engine's own socket."""
    source = Path(path).resolve()
    shown = plan.engine_socket
    if shown and (shown == source or shown.is_relative_to(source)):
        message = f"files: {path} holds the container engine's socket: nobody may be given that"
        raise CannotEnforce(message)
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": at,
        "ReadOnly": access != "write",
        "BindOptions": {"Propagation": "rprivate"},
    }

"""How a container is made from a policy: every wall up, whatever the image says.

One pure function, so that a test can read back from the engine what stands here.
"""

from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import Any, Final, Literal

from sandbox.backends.docker_engine import owner_labels
from sandbox.backends.limits import filter_documents
from sandbox.backends.seccomp_profile import engine_profile
from sandbox.errors import CannotEnforce
from sandbox.policy import FullNetwork, Policy, Quota
from sandbox.policy_grants import HIDDEN_HOST_FOLDERS

__all__ = ["ContainerPlan", "Runtime", "container_configuration"]

Runtime = Literal["runc", "runsc"]
"""runc: the host's kernel behind namespaces and filters. runsc: gVisor, a kernel of its own."""

GUEST_USER: Final = "65534:65534"
OF_GVISORS_PID_1: Final = ("SETUID", "SETGID", "KILL", "DAC_READ_SEARCH")
"""There PID 1 is another user than its guest, who could open its descriptors in /proc: gVisor does
not keep to PR_SET_DUMPABLE. Root of gVisor's own kernel is nobody on the host's."""
OUR_PROCESSES: Final = 1
"""PID 1, which is no part of the quota."""
SENTRY_PROCESSES: Final = 512
"""Threads of gVisor's own kernel on the host; its guests' are counted inside."""
SENTRY_BYTES: Final = 96 << 20
"""Memory of gVisor's own kernel, on top of the guest's."""
OUR_FILES: Final = 1
"""The folder itself."""
CPU_UNIT: Final = 1_000_000_000
ROOT: Final = Path("/")
SCRATCH: Final = ("/box", "/tmp")  # noqa: S108 - the guest's
EMPTY_BYTES: Final = 4096
HIDDEN: Final = (
    *("/proc/acpi", "/proc/asound", "/proc/cmdline", "/proc/diskstats", "/proc/interrupts"),
    *("/proc/kallsyms", "/proc/kcore", "/proc/key-users", "/proc/keys", "/proc/latency_stats"),
    *("/proc/partitions", "/proc/sched_debug", "/proc/scsi", "/proc/swaps", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sys/kernel/random/boot_id"),
    *(f"/sys/{name}" for name in ("block", "bus", "class", "dev", "devices", "firmware")),
    *(f"/sys/{name}" for name in ("hypervisor", "kernel", "module", "power")),
    *(f"/sys/fs/{name}" for name in ("bpf", "btrfs", "ext4", "f2fs", "pstore", "xfs")),
)
"""They tell of the host and its hardware: of /sys nothing is left but the control groups."""
COUNT_OF_PROCESSORS: Final = "/proc/stat"
"""Without it and /sys/devices a program counts those that it may use, get_nprocs(3)."""
RESOLVER: Final = "/etc/resolv.conf"
"""The engine copies the host's into it, network or not."""
NO_RESOLVER: Final = {"Dns": ["127.0.0.1"], "DnsSearch": ["."]}
"""What stands there instead where masks are ignored, as gVisor does."""
SOCKET_BUFFERS: Final = {f"net.ipv4.tcp_{name}mem": "4096 16384 65536" for name in "rw"}
"""Least, default and most, so that TCP does not grow them by itself, tcp(7)."""
OF_THE_LOADER: Final = ("GLIBC_TUNABLES", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD")
"""Variables by which an image would change PID 1 itself, ld.so(8); Python's own it ignores."""
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
    volumes: tuple[str, ...] = ()
    """Folders of the image for which the engine would make a volume, on the host's disk."""
    engine_socket: Path | None = None


def container_configuration(plan: ContainerPlan) -> dict[str, Any]:
    """Give the body of the engine's "create a container". Raises CannotEnforce."""
    return {
        "Image": plan.image,
        "Entrypoint": [*plan.command, "/opt/sandbox/runners", "container", "-"],
        "Cmd": [],
        "Env": [f"{name}=" for name in OF_THE_LOADER],
        "User": GUEST_USER if plan.runtime == "runc" else "0:0",
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
        "Labels": owner_labels() | {"sandbox-engine.policy": plan.policy.name or "policy"},
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
        **({"CapAdd": list(OF_GVISORS_PID_1)} if is_gvisor else {}),
        "SecurityOpt": ["no-new-privileges", f"seccomp={engine_profile(documents[:1])}"],
        "Memory": memory,
        "MemorySwap": memory,
        "MemorySwappiness": 0,
        "PidsLimit": quota.processes + OUR_PROCESSES + (SENTRY_PROCESSES if is_gvisor else 0),
        "NanoCpus": min(quota.cpus, plan.processors) * CPU_UNIT,
        "OomKillDisable": False,
        "ShmSize": quota.disk_bytes,
        "Tmpfs": dict.fromkeys(SCRATCH, _tmpfs_options(quota)),
        "Mounts": [
            *(_mount(plan, grant.path, grant.at, grant.access) for grant in plan.policy.files),
            *map(_no_volume, sorted({*map(normpath, plan.volumes)} - {*SCRATCH})),
        ],
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        "MaskedPaths": [
            *(*HIDDEN, COUNT_OF_PROCESSORS, *plan.hidden),
            *(() if has_network else (RESOLVER,)),
        ],
        "ReadonlyPaths": list(READ_ONLY),
        "Sysctls": {} if is_gvisor else SOCKET_BUFFERS,
        **({} if has_network else NO_RESOLVER),
    }


def _shows(source: Path, hidden: Path) -> bool:
    """Say whether one file holds another or is the same, under whatever name."""
    is_there = source.exists() and hidden.exists()
    return hidden.is_relative_to(source) or (is_there and source.samefile(hidden))


def _tmpfs_options(quota: Quota) -> str:
    """Bound each of the two by the whole quota; PID 1 watches over their sum, tmpfs(5)."""
    size = f"size={quota.disk_bytes},nr_inodes={quota.disk_files + OUR_FILES}"
    return f"rw,nosuid,nodev,exec,{size},uid=65534,gid=65534,mode=700"


def _no_volume(folder: str) -> dict[str, Any]:
    """Put an empty folder where the image wants a volume: no quota would hold that one."""
    options = {"SizeBytes": EMPTY_BYTES, "Mode": 0o555}
    return {"Type": "tmpfs", "Target": folder, "ReadOnly": True, "TmpfsOptions": options}


def _mount(plan: ContainerPlan, path: str, at: str, access: str) -> dict[str, Any]:
    """Describe one grant. Raises CannotEnforce for one that would show the engine's own socket."""
    source = Path(path).resolve()
    if plan.engine_socket and _shows(source, plan.engine_socket):
        message = f"files: {path} holds the container engine's socket: nobody may be given that"
        raise CannotEnforce(message)
    if any(source.is_relative_to(folder) for folder in HIDDEN_HOST_FOLDERS) or source == ROOT:
        message = f"files: {path} leads to {source} on the host: nobody may be given that"
        raise CannotEnforce(message)
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": at,
        "ReadOnly": access != "write",
        "BindOptions": {"Propagation": "rprivate"},
    }

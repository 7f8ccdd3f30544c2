"""The file system that a guest sees, planned from the policy. runners/view.py builds it."""

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cloudpickle

from sandbox.backends.limits import search_path
from sandbox.policy import FullNetwork, InstalledPackages, ListedPrograms, NoPrograms, Policy
from sandbox.shipped import RUNNERS

__all__ = ["Interpreter", "View", "plan_view", "private_folders"]

Step = dict[str, Any]

OURS: Final = "/run/sandbox"
GUEST_RUNNERS: Final = f"{OURS}/runners"
GUEST_LIBRARY: Final = f"{OURS}/library"
GUEST_PROGRAMS: Final = f"{OURS}/bin"
GUEST_SITE: Final = f"{OURS}/site"
PREFIX: Final = "/opt/python"
PACKAGES: Final = "/opt/packages"

PRIVATE_FOLDERS: Final = ("/box", "/tmp", "/dev/shm")  # noqa: S108 - the guest's
BRANCHES: Final = "/branches"
SYSTEM_FOLDERS: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES: Final = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/mime.types",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
DEVICES: Final = ("null", "zero", "full", "random", "urandom")
PACKAGE_FOLDERS: Final = ("site-packages", "dist-packages")
SYNTHETIC: Final = {
    "/etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\nsandbox:x:1000:1000::/box:/bin/sh\n"
    "nobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/hostname": "sandbox\n",
}
HIDDEN_IN_PROC: Final = (
    "cmdline",
    "diskstats",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "latency_stats",
    "partitions",
    "sched_debug",
    "swaps",
    "sys/kernel/random/boot_id",
    "timer_list",
)
"""What /proc tells of the host rather than of the guest: shown empty."""

HUGE_PAGE_FILES: Final = tuple(
    f"/sys/kernel/mm/transparent_hugepage/{name}" for name in ("enabled", "hpage_pmd_size")
)


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python on the host that guests run.

    executable: the real file. prefix: the folder with its lib/pythonX.Y. packages: folders of
    installed packages.
    """

    executable: str
    prefix: str
    packages: tuple[str, ...]
    version: tuple[int, int]

    @classmethod
    def current(cls) -> "Interpreter":
        """Give the interpreter that runs this program, also from within a virtual environment."""
        folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
        folders += site.getsitepackages()
        present = tuple(dict.fromkeys(folder for folder in folders if Path(folder).is_dir()))
        return cls(
            executable=os.path.realpath(sys.executable),
            prefix=sys.base_prefix,
            packages=present,
            version=sys.version_info[:2],
        )

    @property
    def guest_executable(self) -> str:
        """Where a guest finds it."""
        return self.guest_path(self.executable)

    def loader_variables(self) -> dict[str, str]:
        """Give the variable that an interpreter with a shared library needs in another place."""
        folder = f"{self.prefix}/lib"
        is_moved = self.guest_path(folder) != folder
        is_shared = any(Path(folder).glob("libpython*.so*"))
        return {"LD_LIBRARY_PATH": self.guest_path(folder)} if is_moved and is_shared else {}

    def guest_path(self, path: str) -> str:
        """Give the neutral place of a path of this interpreter: the host's own says too much."""
        is_ours = path == self.prefix or path.startswith(f"{self.prefix}/")
        if not is_ours or path == "/usr" or path.startswith("/usr/"):
            return path
        return PREFIX + path.removeprefix(self.prefix)


@dataclass(frozen=True, kw_only=True)
class View:
    """A planned file system: how to build it, what Landlock allows in it, what covers /proc."""

    steps: tuple[Step, ...]
    rights: tuple[tuple[str, str], ...]
    proc_masks: tuple[tuple[str, str], ...]
    python_path: tuple[str, ...]
    variables: Mapping[str, str]
    """What has programs find what is in it."""


def private_folders(*, is_for_sessions: bool) -> tuple[str, ...]:
    """Name the folders that guests may write to; a session's branches have theirs in one more."""
    return (*PRIVATE_FOLDERS, BRANCHES) if is_for_sessions else PRIVATE_FOLDERS


def plan_view(
    policy: Policy, interpreter: Interpreter, *, is_counted: bool, is_for_sessions: bool = False
) -> View:
    """Plan the file system for a policy: the system read-only, the grants, and nothing else.

    is_counted: whether a control group counts the guest's memory.
    """
    private = private_folders(is_for_sessions=is_for_sessions)
    packages = _package_paths(policy, interpreter)
    steps = [
        *_system_steps(policy),
        *_device_steps(is_counted=is_counted),
        *_interpreter_steps(interpreter, packages),
        *_site_steps(packages),
        *_grant_steps(policy),
        *_own_steps(policy, interpreter, private),
        *(_huge_page_steps() if is_for_sessions else ()),
    ]
    return View(
        steps=tuple(steps),
        rights=tuple(_rights(policy, steps, private)),
        proc_masks=tuple(_proc_masks()),
        python_path=(GUEST_LIBRARY, *packages.values()),
        variables=_variables(interpreter, packages),
    )


def _variables(interpreter: Interpreter, packages: Mapping[str, str]) -> dict[str, str]:
    """Have guests find programs, one named python, and a Python that they start its packages."""
    path = f"{search_path(os.path.dirname(interpreter.guest_executable))}:{GUEST_PROGRAMS}"
    return {"PATH": path} | ({"PYTHONPATH": GUEST_SITE} if packages else {})


def _site_steps(packages: Mapping[str, str]) -> Iterator[Step]:
    """Have a Python that a guest starts find packages where a call does: behind its own library."""
    if packages:
        text = f"import sys\n\nsys.path.extend({[*packages.values()]!r})\n"
        yield _text(f"{GUEST_SITE}/sitecustomize.py", text)


def _system_steps(policy: Policy) -> Iterator[Step]:
    """Show programs and libraries as the host has them, and an /etc that names nobody."""
    yield _bind("/usr")
    for folder in SYSTEM_FOLDERS:
        if Path(folder).is_symlink():
            yield {"kind": "link", "target": folder, "to": str(Path(folder).readlink())}
        elif Path(folder).is_dir():
            yield _bind(folder)
    files = [*SYSTEM_FILES, "/etc/resolv.conf"] if _has_network(policy) else SYSTEM_FILES
    yield from (_bind(path, os.path.realpath(path)) for path in files if Path(path).exists())
    for target, text in SYNTHETIC.items():
        yield _text(target, text)


def _device_steps(*, is_counted: bool) -> Iterator[Step]:
    """Show the devices that give nothing of the host away.

    Memory of a shared mapping of /dev/zero belongs to no process that a watchdog could look at.
    /dev/full reads the same zeros and cannot be mapped.
    """
    for name in DEVICES:
        source = "full" if name == "zero" and not is_counted else name
        yield {"kind": "device", "target": f"/dev/{name}", "source": f"/dev/{source}"}
    for name, to in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        yield {"kind": "link", "target": f"/dev/{name}", "to": f"/proc/self/fd{to}"}


def _interpreter_steps(interpreter: Interpreter, packages: dict[str, str]) -> Iterator[Step]:
    """Show the interpreter, and its installed packages only where the policy lets them in."""
    prefix = interpreter.prefix
    if interpreter.guest_path(prefix) != prefix:
        yield _bind(PREFIX, prefix)
    for host_folder, guest_folder in packages.items():
        yield _bind(guest_folder, host_folder)
    if packages:
        return
    for root in {"/usr", prefix}:
        for folder in _package_folders(root):
            yield {"kind": "empty", "target": interpreter.guest_path(folder)}


@cache
def _package_folders(prefix: str) -> tuple[str, ...]:
    """Find the folders of installed packages below a prefix."""
    patterns = [
        f"{lib}/python3*/{name}" for lib in ("lib", "local/lib") for name in PACKAGE_FOLDERS
    ]
    patterns += [f"lib/python3/{name}" for name in PACKAGE_FOLDERS]
    found = {path.resolve() for pattern in patterns for path in Path(prefix).glob(pattern)}
    return tuple(sorted(str(path) for path in found))


def _package_paths(policy: Policy, interpreter: Interpreter) -> dict[str, str]:
    """Give each package folder on the host its place in the guest."""
    if not isinstance(policy.packages, InstalledPackages):
        return {}
    return {folder: f"{PACKAGES}/{number}" for number, folder in enumerate(interpreter.packages)}


def _grant_steps(policy: Policy) -> Iterator[Step]:
    for grant in policy.files:
        yield _bind(grant.at, os.path.realpath(grant.path), write=grant.access == "write")


def _own_steps(policy: Policy, interpreter: Interpreter, private: Iterable[str]) -> Iterator[Step]:
    """Make the guest's own folders, ours, and files that tell of the policy, not the host."""
    for folder in (*private, "/proc", "/run/scratch"):
        yield {"kind": "folder", "target": folder}
    yield _bind(GUEST_RUNNERS, str(RUNNERS))
    yield _bind(f"{GUEST_LIBRARY}/cloudpickle", str(Path(cloudpickle.__file__).parent))
    yield {"kind": "link", "target": f"{GUEST_PROGRAMS}/python", "to": interpreter.guest_executable}
    yield _text(f"{OURS}/empty", "")
    cpus, memory_bytes = policy.quota.cpus, policy.quota.memory_bytes
    online = "0" if cpus == 1 else f"0-{cpus - 1}"
    for name in ("online", "possible", "present"):
        yield _text(f"/sys/devices/system/cpu/{name}", f"{online}\n")
    yield _text(f"{OURS}/meminfo", _meminfo(memory_bytes))
    yield _text(f"{OURS}/stat", _stat(cpus))
    yield _text(f"{OURS}/cpuinfo", _cpuinfo(cpus))


def _huge_page_steps() -> Iterator[Step]:
    """Show what the C library asks for before it uses huge pages; see zygote.py."""
    for path in HUGE_PAGE_FILES:
        if Path(path).exists():
            yield _text(path, Path(path).read_text(encoding="ascii"))


def _proc_masks() -> Iterator[tuple[str, str]]:
    for name in ("meminfo", "stat", "cpuinfo"):
        yield f"{OURS}/{name}", f"/proc/{name}"
    for name in HIDDEN_IN_PROC:
        yield f"{OURS}/empty", f"/proc/{name}"


def _rights(
    policy: Policy, steps: Iterable[Step], private: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Say again, for Landlock, what may be done where; it knows nothing of the mounts."""
    run = "run" if not isinstance(policy.programs, NoPrograms | ListedPrograms) else "read"
    yield "/", "list"
    for folder in ("/usr", *SYSTEM_FOLDERS, "/opt"):
        yield folder, run
    for folder in ("/etc", "/run/sandbox", "/sys"):
        yield folder, "read"
    for folder in ("/dev", "/proc"):
        yield folder, "device"
    for folder in private:
        yield folder, "write"
    granted = {grant.at for grant in policy.files}
    for step in steps:
        if step["target"] in granted:
            yield step["target"], "write" if step["write"] else run
    if isinstance(policy.programs, ListedPrograms):
        yield from ((program, "run") for program in (*policy.programs.allow, *_loaders()))


def _loaders() -> Iterator[str]:
    """Give the dynamic loaders: the kernel executes them on behalf of every program."""
    for pattern in ("lib*/ld-linux*.so*", "lib/*-linux-gnu/ld-linux*.so*"):
        yield from (str(path) for path in Path("/").glob(pattern))


def _has_network(policy: Policy) -> bool:
    return isinstance(policy.network, FullNetwork)


def _bind(target: str, source: str = "", *, write: bool = False) -> Step:
    return {"kind": "bind", "target": target, "source": source or target, "write": write}


def _text(target: str, text: str) -> Step:
    return {"kind": "file", "target": target, "text": text}


def _meminfo(memory_bytes: int) -> str:
    """Say that the machine has the memory of the policy, proc_meminfo(5)."""
    kib = memory_bytes // 1024
    rows = {"MemTotal": kib, "MemFree": kib, "MemAvailable": kib, "Buffers": 0, "Cached": 0}
    rows |= {"SwapCached": 0, "Active": 0, "Inactive": 0, "SwapTotal": 0, "SwapFree": 0}
    rows |= {"Shmem": 0, "SReclaimable": 0, "Slab": 0}
    return "".join(f"{name}: {value:>15} kB\n" for name, value in rows.items())


def _stat(cpus: int) -> str:
    """Say that the machine has the processors of the policy, proc_stat(5)."""
    zeros = "0 0 0 0 0 0 0 0 0 0"
    rows = [f"cpu  {zeros}", *(f"cpu{number} {zeros}" for number in range(cpus))]
    return "\n".join([*rows, "intr 0", "ctxt 0", "btime 0", "processes 1", "procs_running 1", ""])


def _cpuinfo(cpus: int) -> str:
    """Describe as many processors as the policy gives, as the host does, proc_cpuinfo(5)."""
    blocks = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")
    return "\n\n".join([*blocks[:cpus], ""])

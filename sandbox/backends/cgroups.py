"""Control groups, versions 1 and 2: they count and hold a whole process tree, cgroups(7).

One folder per zygote, named after its owner, and below it one per call. The host opens the
`cgroup.procs` of a call; the guest's first act is to write itself in. Whoever writes needs no
right on the folder: the kernel asks who opened the file.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from sandbox.backends.base import Limit
from sandbox.backends.cgroup_files import counter, read, write, write_if_there
from sandbox.policy import Quota

__all__ = [
    "CallGroup",
    "CgroupMount",
    "Hierarchy",
    "ZygoteGroup",
    "choose_hierarchies",
    "find_hierarchies",
    "parse_mounts",
    "stale_groups",
]

PREFIX: Final = "sandbox-engine-"
NEEDED: Final = frozenset({"memory", "pids", "cpuacct"})
NEEDED_2: Final = frozenset({"memory", "pids"})
"""Those of the second version; it counts processor time without any."""
USED_2: Final = NEEDED_2 | {"cpu"}
"""With cpu, where it is given, calls share the processors evenly, however many threads each has."""
INIT_PROCESSES: Final = 1
"""Our own PID 1 of each guest; it is not part of the quota."""


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """A mounted hierarchy, the folder in it for our groups, and the controllers that they get."""

    version: Literal[1, 2]
    folder: Path
    controllers: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class CgroupMount:
    """Where a hierarchy is mounted, and which of its groups is seen there, cgroups(7)."""

    version: Literal[1, 2]
    point: Path
    root: str
    options: frozenset[str]

    def place(self, group: str) -> Path | None:
        """Give a group's folder; None where this mount does not show it."""
        if ".." in Path(group).parts:  # outside of this process's cgroup namespace
            return None
        try:
            return self.point / Path(group).relative_to(self.root)
        except ValueError:
            return None


@cache
def find_hierarchies() -> tuple[Hierarchy, ...]:
    """Find where this process may make groups that hold memory and processes; empty if nowhere."""
    mounts, own = (
        Path("/proc/self", name).read_text(encoding="utf-8", errors="surrogateescape")
        for name in ("mountinfo", "cgroup")
    )
    return choose_hierarchies(parse_mounts(mounts), own)


def choose_hierarchies(mounts: tuple[CgroupMount, ...], own: str) -> tuple[Hierarchy, ...]:
    """Choose among mounts, the second version first. own: the text of /proc/self/cgroup."""
    groups = _own_groups(own)
    if two := _second_version(mounts, groups):
        return (two,)
    found = tuple(_first_version(mounts, groups))
    covered = frozenset[str]().union(*(hierarchy.controllers for hierarchy in found))
    return found if covered >= NEEDED else ()


def parse_mounts(text: str) -> tuple[CgroupMount, ...]:
    """Read the mounts of control groups from the text of /proc/self/mountinfo."""
    return tuple(_mounts_in(text.splitlines()))


def _mounts_in(lines: list[str]) -> Iterator[CgroupMount]:
    for line in lines:
        before, _, after = line.partition(" - ")
        _, _, _, root, point, *_ = before.split()
        kind, *_, options = after.split(" ")
        if kind in {"cgroup", "cgroup2"}:
            yield CgroupMount(
                version=2 if kind == "cgroup2" else 1,
                point=Path(point),
                root=root,
                options=frozenset(options.split(",")),
            )


def _own_groups(text: str) -> Mapping[str, str]:
    """Give this process's group by controller; the second version's under ""."""
    rows = (line.split(":", 2) for line in text.splitlines())
    return {name: path for _, names, path in rows for name in names.split(",")}


def _second_version(mounts: tuple[CgroupMount, ...], groups: Mapping[str, str]) -> Hierarchy | None:
    """Give the nearest group, this process's own or one above it, below which ours can be.

    Seldom is it its own: a group with processes cannot share controllers out among groups below
    it, and a session or a service has its own processes in its group. The slice above has none.
    To move a process into a group takes the right to write in the nearest group that is above
    both it and where the process is now: that is the one given.
    """
    mount = next((mount for mount in mounts if mount.version == 2), None)
    own = mount.place(groups.get("", "")) if mount else None
    if not mount or not own:
        return None
    for folder in (own, *own.parents):
        controllers = _given_below(folder)
        if controllers >= NEEDED_2 and _is_writable(folder, "cgroup.procs"):
            return Hierarchy(version=2, folder=folder, controllers=controllers)
        if folder == mount.point:
            break
    return None


def _given_below(folder: Path) -> frozenset[str]:
    """Give the controllers that groups below this one get, or that ours could, if we say so."""
    given = _names(folder / "cgroup.subtree_control") & USED_2
    if given >= NEEDED_2 or not _is_writable(folder, "cgroup.subtree_control"):
        return given
    is_top = not (folder / "cgroup.type").exists()  # the one group that may have processes too
    is_empty = not _names(folder / "cgroup.procs")
    if not (is_top or is_empty):
        return given
    return given | _names(folder / "cgroup.controllers") & NEEDED_2


def _names(file: Path) -> frozenset[str]:
    """Read words from a file of the kernel's; none if it cannot be read."""
    try:
        return frozenset(file.read_text(encoding="ascii").split())
    except OSError:
        return frozenset()


def _is_writable(folder: Path, name: str) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / name, os.W_OK)


def _first_version(
    mounts: tuple[CgroupMount, ...], groups: Mapping[str, str]
) -> Iterator[Hierarchy]:
    left = NEEDED  # a hierarchy may be mounted twice
    for mount in mounts:
        controllers = mount.options & left if mount.version == 1 else frozenset[str]()
        folder = mount.place(groups.get(min(controllers), "/")) if controllers else None
        if folder and _is_writable(folder, "cgroup.procs"):
            left -= controllers
            yield Hierarchy(version=1, folder=folder, controllers=controllers)


class ZygoteGroup:
    """The folders of one zygote, one per hierarchy, empty but for the groups of its calls."""

    def __init__(self, hierarchies: tuple[Hierarchy, ...], owner: str, serial: int) -> None:
        """Name them after their owner. Nothing is made yet."""
        self._hierarchies = hierarchies
        name = f"{PREFIX}{owner}-{serial}"
        self._folders = [hierarchy.folder / name for hierarchy in hierarchies]
        self._places = {
            controller: str(folder)
            for hierarchy, folder in zip(hierarchies, self._folders, strict=True)
            for controller in hierarchy.controllers
        }
        self._calls = 0
        self._busy: list[CallGroup] = []

    @property
    def folders(self) -> list[str]:
        """Their paths, for the keeper to remove."""
        return [str(folder) for folder in self._folders]

    def create(self) -> None:
        """Make them. Raises OSError where the host does not let us."""
        for hierarchy, folder in zip(self._hierarchies, self._folders, strict=True):
            if hierarchy.version == 2:
                _share_out(hierarchy.folder, hierarchy.controllers)
            folder.mkdir()
            if hierarchy.version == 2:
                _share_out(folder, hierarchy.controllers)

    def add_call(self, quota: Quota) -> "CallGroup":
        """Make the groups of one call, with its limits set."""
        if self._busy:
            self.clear()
        self._calls += 1
        folders = {name: f"{place}/{self._calls}" for name, place in self._places.items()}
        return CallGroup(self._hierarchies[0].version, folders, quota, self._busy)

    def clear(self) -> bool:
        """Remove the groups of calls that were still busy at their end; say if none is left."""
        self._busy[:] = [group for group in self._busy if not group.remove()]
        return not self._busy

    def remove(self) -> bool:
        """Remove what is left of them, and say whether all are gone. The keeper does the same."""
        for folder in self._folders:
            with suppress(OSError):
                for inner in filter(Path.is_dir, folder.iterdir()):
                    inner.rmdir()
            with suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self._folders)


class CallGroup:
    """The group of one call: its limits, its counters, its end."""

    def __init__(
        self,
        version: Literal[1, 2],
        folders: Mapping[str, Path | str],
        quota: Quota,
        busy: "list[CallGroup]",
    ) -> None:
        """Make the folders and set the limits. Raises OSError, leaving nothing.

        busy: where it goes if it cannot be removed at once, to be removed later.
        """
        self._version = version
        self._busy = busy
        self._memory = str(folders["memory"])
        self._pids = str(folders["pids"])
        self._cpu = str(folders["memory" if version == 2 else "cpuacct"])
        self._unique = tuple(dict.fromkeys((self._memory, self._pids, self._cpu)))
        self._counters: dict[str, int] = {}
        try:
            for folder in self._unique:
                os.mkdir(folder)
            self._set_limits(quota)
        except OSError:
            self.remove()
            raise

    def _set_limits(self, quota: Quota) -> None:
        memory, processes = str(quota.memory_bytes), str(quota.processes + INIT_PROCESSES)
        write(f"{self._pids}/pids.max", processes)
        if self._version == 2:
            write(f"{self._memory}/memory.max", memory)
            write(f"{self._memory}/memory.oom.group", "1")
            write_if_there(f"{self._memory}/memory.swap.max", "0")
            return
        write(f"{self._memory}/memory.limit_in_bytes", memory)
        write_if_there(f"{self._memory}/memory.memsw.limit_in_bytes", memory)
        # Version 1 counts the buffers of TCP apart.
        write_if_there(f"{self._memory}/memory.kmem.tcp.limit_in_bytes", memory)

    def open_counters(self) -> None:
        """Open what is read once the call has ended, ahead of time: opening costs the most."""
        is_second = self._version == 2
        paths = (
            f"{self._cpu}/{'cpu.stat' if is_second else 'cpuacct.usage'}",
            f"{self._memory}/{'memory.peak' if is_second else 'memory.max_usage_in_bytes'}",
            f"{self._memory}/{'memory.events' if is_second else 'memory.oom_control'}",
            f"{self._pids}/pids.current",
            f"{self._pids}/pids.peak",
            f"{self._pids}/pids.events",
        )
        for path in paths:
            with suppress(FileNotFoundError):
                self._counters[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def _read(self, path: str) -> str:
        """Read a small file of the kernel's; "" if this kernel has none."""
        if (counter := self._counters.get(path)) is None:
            return read(path)
        try:
            return os.pread(counter, 4096, 0).decode()
        except OSError:  # the zygote has died, and its keeper removed the group
            return ""

    def open_entrances(self) -> list[int]:
        """Open what the guest, one thread then, writes itself into; the caller closes them.

        On version 1 a thread that moves itself takes no lock of the whole machine; a process that
        is moved waits for a grace period of the kernel's, 5 ms a move here.
        """
        name = "tasks" if self._version == 1 else "cgroup.procs"
        flags = os.O_WRONLY | os.O_CLOEXEC
        return [os.open(f"{folder}/{name}", flags) for folder in self._unique]

    def cpu_seconds(self) -> float:
        """Give the processor time of the whole tree so far, the dead included."""
        if self._version == 2:
            return counter(self._read(f"{self._cpu}/cpu.stat"), "usage_usec") / 1e6
        return int(self._read(f"{self._cpu}/cpuacct.usage") or 0) / 1e9

    def memory_bytes(self) -> int:
        """Give the memory that the tree has now."""
        name = "memory.current" if self._version == 2 else "memory.usage_in_bytes"
        return int(self._read(f"{self._memory}/{name}") or 0)

    def processes(self) -> int:
        """Give the processes and threads that there are now, without our own."""
        return max(0, int(self._read(f"{self._pids}/pids.current") or 0) - INIT_PROCESSES)

    def peak_memory_bytes(self) -> int:
        """Give the most memory that the tree had at once; 0 where the kernel does not say."""
        name = "memory.peak" if self._version == 2 else "memory.max_usage_in_bytes"
        return int(self._read(f"{self._memory}/{name}") or 0)

    def peak_processes(self) -> int:
        """Give the most processes and threads at once, without our own; 0 where not said."""
        return max(0, int(self._read(f"{self._pids}/pids.peak") or 0) - INIT_PROCESSES)

    def limits_hit(self, before: Mapping[Limit, int] | None = None) -> frozenset[Limit]:
        """Give the limits that the kernel enforced at least once. before: since these refusals."""
        earlier = before or {}
        now = self.refusals()
        return frozenset(limit for limit in now if now[limit] > earlier.get(limit, 0))

    def refusals(self) -> dict[Limit, int]:
        """Count how often the kernel enforced each limit so far."""
        oom = "memory.events" if self._version == 2 else "memory.oom_control"
        return {
            "processes": counter(self._read(f"{self._pids}/pids.events"), "max"),
            "memory": counter(self._read(f"{self._memory}/{oom}"), "oom_kill"),
        }

    def kill(self) -> bool:
        """Kill every process in it; say whether there was none. One that forks may escape once."""
        processes = self._processes()
        with ExitStack() as stack:
            held: dict[int, int] = {}
            for process in processes:
                with suppress(ProcessLookupError):
                    held[process] = os.pidfd_open(process)
                    stack.callback(os.close, held[process])
            # Whose number is still in the group now is who it was: a number may have been reused.
            for process in self._processes() & held.keys():
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(held[process], signal.SIGKILL)
        return not processes

    def _processes(self) -> set[int]:
        return {int(process) for process in read(f"{self._pids}/cgroup.procs").split()}

    def give_back(self) -> None:
        """Remove it now, or when the next one is made."""
        while self._counters:
            os.close(self._counters.popitem()[1])
        if not self.remove():
            self._busy.append(self)

    def remove(self) -> bool:
        """Remove the folders; say whether all are gone. A process that is just dying holds them."""
        gone = True
        for folder in self._unique:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone


def _share_out(folder: Path, controllers: frozenset[str]) -> None:
    """Give controllers to the groups below one of the second version. Raises OSError."""
    missing = controllers - _names(folder / "cgroup.subtree_control")
    if missing:
        write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))


def stale_groups(is_alive: Callable[[str], bool]) -> list[Path]:
    """Find the folders of zygotes whose owner is dead."""
    roots = {hierarchy.folder for hierarchy in find_hierarchies()}
    found = [path for root in roots for path in root.glob(f"{PREFIX}*")]
    return [path for path in found if not is_alive(_owner_of(path))]


def _owner_of(folder: Path) -> str:
    return folder.name.removeprefix(PREFIX).rpartition("-")[0]

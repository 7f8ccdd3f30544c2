"""Knows the processes of a watched guest by the threads that the kernel names."""

from typing import NamedTuple

from watch_memory import Memory
from watch_places import link

INIT, MAIN = 1, 2
"""Numbers in the guest's pid namespace: our own PID 1, and the call."""
MOST_OPEN = 256
MOST_ANCESTORS = 32
MOST_THREADS = 4096
MOST_ENDED = 1024


class Identity(NamedTuple):
    """What proc_pid_status(5) says of a thread: numbers on the host, and the one in the guest."""

    process: int
    parent: int
    inner: int


class Process:
    """A process of the guest."""

    def __init__(self, serial: int, parent: int | None, identity: Identity) -> None:
        """serial: its number in the record, from 1. parent: likewise, None for our own PID 1."""
        self.serial = serial
        self.parent = parent
        self.identity = identity
        self._memory: Memory | None = None
        self._folder = ""

    @property
    def number(self) -> int:
        """Its number in the guest."""
        return self.identity.inner

    def memory(self) -> Memory:
        """Give its memory, opened once. Raises OSError where it is gone."""
        if self._memory is None:
            self._memory = Memory(self.identity.process)
        return self._memory

    def folder(self) -> str:
        """Give its current folder, as its own root sees it, asked for once; "" for none."""
        if not self._folder:
            self._folder = link(self.identity.process, "cwd")
        return self._folder

    def forget_folder(self) -> None:
        """Ask for its current folder again when it is next needed."""
        self._folder = ""

    def forget_memory(self) -> None:
        """Let its memory go: the program that comes next has another."""
        if self._memory:
            self._memory.close()
            self._memory = None


class Processes:
    """All that were seen and have not said that they end."""

    def __init__(self) -> None:
        """Know none."""
        self._by_thread: dict[int, Process] = {}
        self._by_process: dict[int, Process] = {}
        self._serials = 0
        self._new: list[Process] = []
        self._ended: dict[int, Process] = {}
        self.threads = 0
        """How many were seen besides the first one of each process."""

    def of(self, thread: int, *, ancestors: int = MOST_ANCESTORS) -> Process | None:
        """Give the process of a thread; None for our own PID 1, and for one that is gone.

        ancestors: how many of those that it descends from are looked up, if they are not known.
        """
        if known := self._by_thread.get(thread):
            return known
        try:
            identity = _identify(thread)
        except OSError:
            return None
        return None if identity.inner == INIT else self._add(thread, identity, ancestors)

    @property
    def are_several(self) -> bool:
        """Whether there is, or was, more than one process or thread."""
        return self._serials > 1 or self.threads > 0

    def take_new(self) -> list[Process]:
        """Give those that were not given before, parents first."""
        new, self._new = self._new, []
        return new

    def forget(self, thread: int) -> None:
        """Ask again who a thread is: its number may have been another's, who was killed."""
        if process := self._by_thread.pop(thread, None):
            process.forget_memory()

    def end(self, process: Process) -> None:
        """Let a process go that ends itself, with all its threads."""
        process.forget_memory()
        number = process.identity.process
        self._by_process.pop(number, None)
        self._ended[number] = process  # it is a parent until the kernel is done with it
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._by_thread = {
            thread: each for thread, each in self._by_thread.items() if each is not process
        }

    def _add(self, thread: int, identity: Identity, ancestors: int) -> Process:
        process = self._by_process.get(identity.process)
        if process is None or process.identity != identity:
            self._make_room()
            parent = self._parent(identity.parent, ancestors)
            self._ended.pop(identity.process, None)
            self._serials += 1
            process = Process(self._serials, parent.serial if parent else None, identity)
            self._by_process[identity.process] = process
            self._new.append(process)
        self._by_thread[thread] = process
        self.threads += thread != identity.process
        return process

    def _parent(self, number: int, ancestors: int) -> Process | None:
        """Give a parent. A fork that has done nothing itself was not seen, but its child is."""
        known = self._by_process.get(number) or self._ended.get(number)
        if known or not ancestors:
            return known
        return self.of(number, ancestors=ancestors - 1)

    def _make_room(self) -> None:
        """Keep the number of open files, and of threads that may be gone, within bounds."""
        if len(self._by_process) % MOST_OPEN == 0:
            for process in self._by_process.values():
                process.forget_memory()
        if len(self._by_thread) > MOST_THREADS:
            self._by_thread.clear()


def _identify(thread: int) -> Identity:
    """Read who a thread is. Raises OSError where it is gone."""
    with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file)
    # Of a thread NSpid has its own number, NStgid that of its process.
    inner = int(lines["NStgid"].split()[-1])
    return Identity(int(lines["Tgid"]), int(lines["PPid"]), inner)

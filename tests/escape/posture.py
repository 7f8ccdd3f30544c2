"""What the kernel says of a guest's processes, read from outside, and what it ought to say.

The reading knows nothing of the engine but how to find its processes: host, keeper, zygote,
PID 1 of the guest, PID 2, in a line of descent.
"""

import os
import re
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import psutil

from sandbox import Sandbox, SandboxError
from sandbox.backends.docker_engine import LABEL, DockerEngine
from sandbox.backends.processes import owner_name
from sandbox.result import Result

__all__ = ["UNSEEN", "Line", "Mount", "children", "descriptors", "limits", "mounts", "namespaces"]
__all__ += ["environment", "find_line", "held_guest", "name_of", "start_held", "status_rows"]

HELD = "held-by-a-test"
UNSEEN = "the host sees no process of a guest in gVisor"

HOLD = f"""
import signal
open("/proc/self/comm", "w").write({HELD!r})
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
{{prepare}}
print("ready", flush=True)
signal.sigwait({{signal.SIGTERM}})
"""
"""Guest text: prepare, say so, and stay until the host sends SIGTERM."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One guest's line of descent, as process numbers of the host."""

    keeper: int
    zygote: int
    init: int
    main: int


@dataclass(frozen=True, order=True)
class Mount:
    """A mount point of a guest, the type of its file system, and what may not be done there."""

    point: str
    kind: str
    flags: frozenset[str]


def children(pid: int) -> list[int]:
    """Give a process's children, of all its threads."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in files for child in file.read_text().split()]


def name_of(pid: int) -> str:
    """Give the name of a process; "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def status_rows(pid: int) -> Iterator[dict[str, str]]:
    """Give proc_pid_status(5) of every thread."""
    for file in Path(f"/proc/{pid}/task").glob("*/status"):
        rows = (line.split(":", 1) for line in file.read_text().splitlines())
        yield {name: value.strip() for name, value in rows}


def find_line() -> Line:
    """Find the one guest that is held; others may be parked beside it."""
    (line,) = [*_lines()] or [*_lines_in_containers()]
    return line


def _lines() -> Iterator[Line]:
    for keeper in children(os.getpid()):
        for zygote in children(keeper):
            for init in children(zygote):
                for main in children(init):
                    if name_of(main) == HELD:
                        yield Line(keeper=keeper, zygote=zygote, init=init, main=main)


def _lines_in_containers() -> Iterator[Line]:
    """Look where the engine, and not this process, is an ancestor; its parts stand for ours."""
    for init in _first_processes():
        for main in children(init):
            if name_of(main) == HELD:
                shim = psutil.Process(init).ppid()
                yield Line(keeper=psutil.Process(shim).ppid(), zygote=shim, init=init, main=main)


def _first_processes() -> Iterator[int]:
    """Give PID 1 of each container of this process, as the host numbers it."""
    with suppress(SandboxError), closing(DockerEngine()) as engine:
        for container in engine.owned():
            if container["Labels"][LABEL] == owner_name():
                yield int(engine.inspect(container["Id"]).get("State", {}).get("Pid", 0))


def namespaces(pid: int | str) -> dict[str, str]:
    """Give the identity of each namespace of a process."""
    return {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/ns").iterdir()}


def descriptors(pid: int) -> dict[int, str]:
    """Give the open descriptors of a process, and what each is: "pipe", "socket", a path."""
    links = {int(path.name): str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return {number: link.partition(":[")[0] for number, link in links.items()}


def environment(pid: int) -> dict[str, str]:
    """Give the environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def limits(pid: int) -> dict[str, tuple[str, str]]:
    """Give the soft and the hard limit of each resource, proc_pid_limits(5)."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    rows = (re.split(r"\s{2,}", line.strip()) for line in lines)
    return {row[0]: (row[1], row[2]) for row in rows}


def mounts(pid: int | str) -> list[Mount]:
    """Give the mounts of a process, proc_pid_mountinfo(5)."""
    return sorted(_mount(line) for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def _mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    point, options = before.split()[4:6]
    flags = frozenset(options.split(",")) & {"ro", "rw", "nosuid", "nodev", "noexec"}
    return Mount(point, after.split()[0], flags)


def start_held(box: Sandbox, prepare: str, pool: ThreadPoolExecutor) -> "Held":
    """Start a guest that stays until it is let go; return when it has prepared itself."""
    ready: Queue[str] = Queue()
    program = HOLD.replace("{prepare}", prepare)

    def take(_name: str, _chunk: bytes) -> None:
        ready.put("ready")

    future = pool.submit(box.run, program, on_output=take)
    future.add_done_callback(lambda _: ready.put("ended"))
    word = ready.get(timeout=30)
    if word != "ready":
        raise AssertionError(future.result())
    return Held(line=find_line(), wait=lambda: future.result(timeout=30))


@dataclass(frozen=True, kw_only=True)
class Held:
    """A guest that stays until it is let go."""

    line: Line
    wait: Callable[[], Result]

    def let_go(self) -> Result:
        """Let it end; give its result."""
        os.kill(self.line.main, signal.SIGTERM)
        return self.wait()


@contextmanager
def held_guest(box: Sandbox, prepare: str = "") -> Generator[Line]:
    """Run a guest that stays while the body runs."""
    with ThreadPoolExecutor(1) as pool:
        held = start_held(box, prepare, pool)
        try:
            yield held.line
        finally:
            held.let_go()

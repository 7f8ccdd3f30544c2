"""What a call may leave behind on the host, counted: processes, descriptors, groups, mounts.

A backend keeps a guest ready for the next call and brings it up in its own time, so these tests
wait for it; a process that a call had left would stay, and the count never be as before.
"""

import gc
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from sandbox.backends.base import Backend
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.container_options import Runtime
from sandbox.backends.docker import DEFAULT_WARM
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.docker_leftovers import RunningContainer, find_containers
from sandbox.backends.processes import owner_name
from sandbox.result import ErrorInfo, Result
from tests.conftest import Warm, backend_of
from tests.contract.engines import RUNTIMES, Yard

OUR_MOUNTS = ("/run/sandbox", "/run/scratch", "/box", "/opt/python", "/opt/packages")
"""Where guests have mounts of their own; other programs on this host mount elsewhere."""
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 10.0
DEATH_OF_A_GUEST, DEATH_OF_A_CONTAINER = 0.05, 0.5
"""Seconds in which what is dying has gone, ample."""
WARM_PROCESSES = 6
"""Keeper, zygote, and the two of each guest that waits, when one call ran at a time."""

NewBackend = Callable[[], Backend]


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """What this process has: equal before and after a call that leaves nothing."""

    processes: int
    descriptors: tuple[str, ...]
    threads: frozenset[str]
    groups: int
    mounts: int
    containers: int


BelongingsNow = Callable[[], Belongings]


def error_of(result: Result) -> ErrorInfo:
    """Give the error of a result that must have one."""
    assert result.error is not None
    return result.error


def groups_of(owner: str) -> frozenset[str]:
    """Give the control groups of one host process, "pid-start", in every hierarchy."""
    found: set[str] = set()
    for hierarchy in find_hierarchies():
        for folder in hierarchy.folder.glob(f"sandbox-engine-{owner}-*"):
            found.add(str(folder))
            with suppress(FileNotFoundError):  # it is being removed
                found |= {str(inner) for inner in folder.iterdir() if inner.is_dir()}
    return frozenset(found)


def _descriptor_kinds() -> tuple[str, ...]:
    """Say what each open descriptor is; numbers of inodes and of groups differ by the call."""
    names: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            name = str(link.readlink()).partition(":[")[0]
            is_numbered = name.startswith(("/sys/fs/cgroup", "/proc/"))
            names.append(Path(name).name if is_numbered else name)
    return tuple(sorted(names))


def _belongings_now(engine: DockerEngine | None) -> Belongings:
    """Count what there is. engine: for a mechanism that has one; its connections come and go."""
    gc.collect()
    descriptors = _descriptor_kinds()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    return Belongings(
        processes=len(psutil.Process().children(recursive=True)),
        descriptors=tuple(kind for kind in descriptors if not engine or kind != "socket"),
        threads=frozenset(each.name for each in threading.enumerate() if not _is_kept(each)),
        groups=len(groups_of(owner_name())),
        mounts=len([row for row in mounts.splitlines() if row.split()[1].startswith(OUR_MOUNTS)]),
        containers=len(_our_containers(engine)) if engine else 0,
    )


def _is_kept(thread: threading.Thread) -> bool:
    """Tell a worker that anyio or trio keeps for its next use, and ends itself."""
    return "worker" in thread.name or thread.name.startswith("Trio thread")


def _our_containers(engine: DockerEngine) -> list[RunningContainer]:
    """Those of this process that run or are about to; one that is dead is being removed."""
    found = find_containers(engine)
    return [each for each in found if each.owner == owner_name() and each.state != "removing"]


def wait_for(look: BelongingsNow, is_there: Callable[[Belongings], bool]) -> Belongings:
    """Look until it is there, at most for a while; give the last look."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_there(seen := look()) and time.monotonic() < deadline:
        pause.wait(LOOK_SECONDS)
    return seen


def settled(look: BelongingsNow, seconds: float = DEATH_OF_A_GUEST) -> Belongings:
    """Look until nothing changes any more: other sandboxes may clear away behind their calls."""
    last, since = look(), time.monotonic()

    def is_steady(seen: Belongings) -> bool:
        nonlocal last, since
        if seen != last:
            last, since = seen, time.monotonic()
        return time.monotonic() - since > seconds

    return wait_for(look, is_steady)


def kept(look: BelongingsNow, cold: Belongings, processes: int) -> Belongings:
    """Wait until a sandbox has so many processes that it keeps, and nothing changes any more."""
    wait_for(look, lambda seen: seen.processes - cold.processes == processes)
    return settled(look)


def when_warm(look: BelongingsNow, warm_up: Callable[[], object]) -> Belongings:
    """Warm a new sandbox up and wait for all that it keeps ready for its next call."""
    before = settled(look)
    warm_up()
    return wait_for(look, is_warm(before))


def is_warm(before: Belongings) -> Callable[[Belongings], bool]:
    """Tell a sandbox that has all it keeps ready; what is just going counts for a while."""
    since = math.inf

    def tell(seen: Belongings) -> bool:
        nonlocal since
        guests = seen.processes - before.processes == WARM_PROCESSES
        containers = seen.containers - before.containers == DEFAULT_WARM
        since = min(since, time.monotonic()) if guests or containers else math.inf
        return time.monotonic() - since > (DEATH_OF_A_GUEST if guests else DEATH_OF_A_CONTAINER)

    return tell


@pytest.fixture(scope="session")
def engine_of_mechanism(warm: Warm) -> Iterator[DockerEngine | None]:
    """The container engine, where the mechanism under test has one."""
    if warm.mechanism not in {"docker", "gvisor"}:
        yield None
        return
    with closing(DockerEngine()) as found:
        yield found


@pytest.fixture
def belongings(engine_of_mechanism: DockerEngine | None) -> BelongingsNow:
    """Look at what this process has now."""
    return partial(_belongings_now, engine_of_mechanism)


@pytest.fixture
def new_backend(mechanism: str) -> NewBackend:
    """Make a backend of the mechanism under test, for a sandbox that the test makes itself."""
    return lambda: backend_of(mechanism)


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    """The container engine that is there."""
    with closing(DockerEngine()) as found:
        yield found


@pytest.fixture
def yard(engine: DockerEngine) -> Yard:
    """The containers of one test."""
    return Yard(engine)


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each runtime that the engine has."""
    found: Runtime = request.param
    return found

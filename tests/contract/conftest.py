"""What a call may leave behind on the host, counted: processes, descriptors, groups, mounts.

A backend may keep a guest ready for the next call, and brings it up in its own time. So what is
counted is what is there once nothing changes any more; a call's own processes would stay in it.
"""

import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sandbox.backends.base import Backend
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.processes import owner_name
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.result import ErrorInfo, Result

LOOK_SECONDS = 0.01
QUIET_LOOKS = 5
MOST_LOOKS = 500

NewBackend = Callable[[], Backend]


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """What this process has: equal before and after a call that leaves nothing."""

    processes: int
    descriptors: tuple[str, ...]
    threads: frozenset[str]
    groups: int
    mounts: int


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
            found |= {str(folder), *(str(inner) for inner in folder.iterdir() if inner.is_dir())}
    return frozenset(found)


def _descriptor_kinds() -> tuple[str, ...]:
    """Say what each open descriptor is: numbers of inodes differ from call to call."""
    names: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            names.append(str(link.readlink()).partition(":[")[0])
    return tuple(sorted(names))


def _belongings_now() -> Belongings:
    return Belongings(
        processes=len(psutil.Process().children(recursive=True)),
        descriptors=_descriptor_kinds(),
        # anyio keeps its worker threads for the next use, and ends them itself
        threads=frozenset(each.name for each in threading.enumerate() if "worker" not in each.name),
        groups=len(groups_of(owner_name())),
        mounts=len(Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()),
    )


def _belongings_at_rest() -> Belongings:
    """Look until nothing has changed for a while; guests that are kept ready are then there."""
    gc.collect()
    pause = threading.Event()
    held = _belongings_now()
    quiet_looks = looks = 0
    while quiet_looks < QUIET_LOOKS and looks < MOST_LOOKS:
        pause.wait(LOOK_SECONDS)
        seen = _belongings_now()
        quiet_looks = quiet_looks + 1 if seen == held else 0
        held = seen
        looks += 1
    return held


@pytest.fixture
def belongings() -> BelongingsNow:
    """Look at what this process has, once nothing changes any more."""
    return _belongings_at_rest


@pytest.fixture
def new_backend(mechanism: str) -> NewBackend:
    """Make a backend of the mechanism under test, for a sandbox that the test makes itself."""
    return lambda: SubprocessBackend(use_control_groups=mechanism == "cgroup")

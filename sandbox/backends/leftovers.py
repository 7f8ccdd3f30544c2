"""Finds what runs here for sandboxes, and removes what dead hosts left behind: normally nothing.

A keeper names its owner in its last argument, so that it can be told from all other processes and
its owner from a later one with the same number. Only keepers of this pid namespace count: the
numbers in others mean other processes, and a guest can call itself what it likes.
"""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from sandbox.backends.cgroups import stale_groups
from sandbox.backends.processes import is_alive

__all__ = ["Removed", "Running", "find_running", "remove_leftovers", "sweep"]

LABEL: Final = re.compile(
    r"sandbox-engine:(?P<owner>[0-9]+-[0-9]+-[0-9]+):(?P<policy>.*)", re.DOTALL
)
DEATH_SECONDS: Final = 10.0
REMOVAL_TRIES: Final = 50
REMOVAL_PAUSE_SECONDS: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Running:
    """One keeper with its zygote and guests.

    age_seconds: since its start. guests: those that run a call and those that wait for one.
    """

    pid: int
    owner: str
    owner_pid: int
    owner_command: str
    policy: str
    age_seconds: float
    guests: int
    memory_bytes: int
    is_left_over: bool
    """Whether its owner is dead."""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was removed. left: what could not be, and why."""

    keepers: tuple[int, ...]
    groups: tuple[Path, ...]
    left: tuple[str, ...] = ()


def find_running() -> tuple[Running, ...]:
    """Find the keepers of this user on this host; root's are those of everybody."""
    return tuple(sorted(_running(), key=lambda running: running.pid))


def remove_leftovers() -> Removed:
    """Kill every keeper whose owner is dead, with all below it; then remove its control groups.

    What it returns is dead and gone. left names what was not within 10 seconds.
    """
    orphans = [running.pid for running in find_running() if running.is_left_over]
    killed = [pid for pid in orphans if _kill_tree(pid)]
    groups = _remove_patiently(stale_groups(is_alive))
    left = [f"process {pid} does not die" for pid in orphans if pid not in killed]
    left += [f"{path} cannot be removed" for path in groups if path.exists()]
    gone = tuple(path for path in groups if not path.exists())
    return Removed(keepers=tuple(killed), groups=gone, left=tuple(left))


def sweep() -> tuple[Path, ...]:
    """Remove the control groups of dead owners and give their paths. Quick; never raises."""
    with contextlib.suppress(OSError):
        return tuple(folder for folder in stale_groups(is_alive) if _remove_group(folder))
    return ()


def _running() -> Iterator[Running]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if label := _label(process):
                yield _describe(process, label["owner"], label["policy"])


def _label(process: psutil.Process) -> re.Match[str] | None:
    """Give a keeper's label; None for any other process and for what is not this user's."""
    words = process.cmdline()
    if "keeper" not in words or os.geteuid() not in {0, process.uids().real}:
        return None
    return LABEL.fullmatch(words[-1]) if _is_in_our_namespace(process.pid) else None


def _is_in_our_namespace(pid: int) -> bool:
    """Say whether a process has one number only: each inner pid namespace gives it one more."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("NSpid:"):
            return len(line.split()) == 2
    return False


def _describe(process: psutil.Process, owner: str, policy: str) -> Running:
    zygotes = process.children()
    return Running(
        pid=process.pid,
        owner=owner,
        owner_pid=int(owner.partition("-")[0]),
        owner_command=_command(owner),
        policy=policy,
        age_seconds=max(0.0, time.time() - process.create_time()),
        guests=sum(len(zygote.children()) for zygote in zygotes),
        memory_bytes=sum(map(_memory_bytes, [process, *process.children(recursive=True)])),
        is_left_over=not is_alive(owner),
    )


def _command(owner: str) -> str:
    if not is_alive(owner):
        return ""
    with contextlib.suppress(psutil.Error):
        return " ".join(psutil.Process(int(owner.partition("-")[0])).cmdline())
    return ""


def _memory_bytes(process: psutil.Process) -> int:
    """Give a process's fair share of the pages it maps; all of them where it hides its maps."""
    with contextlib.suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _kill_tree(keeper: int) -> bool:
    """Kill a keeper and its zygote, and say whether both are dead: so are all guests then."""
    with contextlib.ExitStack() as opened:
        # Descriptors first: a number may be another process's by the time it is used.
        processes = [*_open_tree(keeper, opened)]
        for descriptor in processes:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        deadline = time.monotonic() + DEATH_SECONDS
        return all(_is_dead_by(descriptor, deadline) for descriptor in processes)


def _open_tree(keeper: int, opened: contextlib.ExitStack) -> Iterator[int]:
    """Open the keeper, if it is still a left-over one, and the zygote below it, pidfd_open(2)."""
    try:
        descriptor = _open(keeper, opened)
        process = psutil.Process(keeper)
        label = _label(process)
        zygotes = process.children()
    except (psutil.Error, OSError):
        return
    if not label or is_alive(label["owner"]):
        return
    yield descriptor
    for zygote in zygotes:
        with contextlib.suppress(OSError):
            yield _open(zygote.pid, opened)


def _open(pid: int, opened: contextlib.ExitStack) -> int:
    descriptor = os.pidfd_open(pid)
    opened.callback(os.close, descriptor)
    return descriptor


def _is_dead_by(descriptor: int, deadline: float) -> bool:
    """Wait for a process to end; a descriptor of a dead one is readable, pidfd_open(2)."""
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    return bool(ready.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _remove_patiently(folders: list[Path]) -> list[Path]:
    """Remove folders; one that a process has only just left is busy for a moment."""
    for folder in folders:
        for _ in range(REMOVAL_TRIES):
            if _remove_group(folder):
                break
            time.sleep(REMOVAL_PAUSE_SECONDS)
    return folders


def _remove_group(folder: Path) -> bool:
    """Remove a zygote's group and the calls' below it; say whether it is gone."""
    try:
        for inner in folder.iterdir():
            if inner.is_dir():
                inner.rmdir()
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True

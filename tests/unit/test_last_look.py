"""The end of a call's main process, seen in /proc before its parent hears of it."""

import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest

from sandbox.backends.cgroups import CallGroup
from sandbox.backends.last_look import LastLook, prepare_last_look
from sandbox.wire import MainExited, MainSignaled

PATIENCE_SECONDS = 10


class Group:
    """A control group that holds so many processes."""

    def __init__(self, count: int) -> None:
        """Hold them."""
        self._count = count

    def processes(self) -> int:
        """Give how many there are."""
        return self._count


def group(count: int = 1) -> CallGroup:
    return cast("CallGroup", Group(count))


@contextmanager
def child(code: int = 0, name: str = "") -> Generator[tuple[int, int]]:
    """Give a process that ends when it is told, and the end of a pipe that tells it by closing."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writes)
        if name:
            Path("/proc/self/comm").write_text(name, encoding="ascii")
        os.read(reads, 1)
        os._exit(code)
    os.close(reads)
    try:
        yield pid, writes
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(writes)


def look_at(pid: int, count: int = 1) -> LastLook:
    return LastLook(os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC), group(count))


def until_ended(pid: int) -> None:
    """Wait until it has ended, and leave it to be reaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_one_that_runs_has_not_ended() -> None:
    with child() as (pid, _):
        look = look_at(pid)

        assert look.shows_all
        assert look.end() is None
        look.close()


@pytest.mark.parametrize("name", ["", ") Z 1 (x", "a b) c"])
def test_the_code_of_one_that_ended_is_told_whatever_its_name(name: str) -> None:
    with child(code=7, name=name) as (pid, tell):
        look = look_at(pid)
        os.write(tell, b"x")
        until_ended(pid)

        assert look.end() == MainExited(7)
        look.close()


def test_the_signal_of_one_that_was_killed_is_told() -> None:
    with child() as (pid, _):
        look = look_at(pid)
        os.kill(pid, signal.SIGKILL)
        until_ended(pid)

        assert look.end() == MainSignaled(signal.SIGKILL)
        look.close()


@pytest.mark.parametrize("count", [0, 2, 3])
def test_one_that_leaves_others_has_not_ended_the_call(count: int) -> None:
    with child() as (pid, _):
        look = look_at(pid, count)
        os.kill(pid, signal.SIGKILL)
        until_ended(pid)

        assert look.end() is None
        look.close()


def test_one_that_was_reaped_is_left_to_who_reaped_it() -> None:
    with child() as (pid, _):
        look = look_at(pid)
    assert look.end() is None
    look.close()


def test_it_is_found_as_the_only_child() -> None:
    with subprocess.Popen(["/bin/sh", "-c", "sleep 60; :"], start_new_session=True) as parent:
        try:
            while not (children := psutil.Process(parent.pid).children()):
                time.sleep(0.01)
            pidfd = os.pidfd_open(parent.pid)
            found = prepare_last_look(pidfd, group())
            children[0].kill()
            until_gone = parent.wait(PATIENCE_SECONDS)
            os.close(pidfd)
        finally:
            parent.kill()

    assert found
    assert found.end() is None  # it was its own: reaped by now
    assert until_gone == 0
    found.close()


def test_of_a_process_without_children_there_is_none() -> None:
    with child() as (pid, _):
        childless = os.pidfd_open(pid)

        assert prepare_last_look(childless, group()) is None
        os.close(childless)

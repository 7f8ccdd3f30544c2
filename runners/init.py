"""PID 1 of a guest: it locks itself down, starts the program as PID 2, and outlives it.

It tells the host how PID 2 ended, over a socket that PID 2 never had; it reaps what is orphaned;
when it goes, the kernel kills everything that is left in its namespace.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from types import FrameType

import kernel
import lockdown

PAYLOAD, ANSWER, STATUS = 3, 4, 5
"""The descriptors of a guest besides 0, 1 and 2. STATUS is closed in PID 2."""
GO, TERMINATE = b"G", b"T"
READY, ENDED, FAULT = b"R", b"\x01", b"F"


def main(
    walls: lockdown.Walls,
    control_groups: list[int],
    processors: list[int],
    deadline_seconds: float,
    program: Callable[[], None],
) -> None:
    """Run the program as PID 2 and wait. Never returns."""
    status = socket.socket(fileno=STATUS)
    try:
        work_folder = lockdown.lock_down(walls, control_groups, processors)
        reaper = Reaper(status)
        socket.send_fds(status, [READY], [work_folder])
        os.close(work_folder)
        reaper.pid = os.fork()
    except Exception as fault:  # noqa: BLE001 - whatever it is, the host must hear of it
        status.send(FAULT + f"{type(fault).__name__}: {fault}".encode())
        os._exit(1)
    if reaper.pid == 0:
        _become_program(status, program)
    os.closerange(0, STATUS)
    reaper.serve(deadline_seconds)


def _become_program(status: socket.socket, program: Callable[[], None]) -> None:
    """Be PID 2: a process like any other, in a session of its own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    kernel.close_from(status.detach())
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # its own /proc entries are its own again
    os.setsid()
    program()
    os._exit(0)


class Reaper:
    """What is left to do for PID 1: wait for everybody, and for the host."""

    def __init__(self, status: socket.socket) -> None:
        """Listen for deaths from here on. pid: PID 2, as soon as it is known."""
        self.pid = 0
        self._status = status
        self._wait_status: int | None = None
        self._is_alone = self._is_told = False
        # A death between a look and the next wait must end that wait: hence a pipe, signal(7).
        self._deaths, bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self, deadline_seconds: float) -> None:
        """Reap; pass the host's request to end on; end with the host, or past every deadline."""
        ready = select.poll()
        for descriptor in (self._status.fileno(), self._deaths):
            ready.register(descriptor, select.POLLIN)
        deadline: float | None = None
        while deadline is None or time.monotonic() < deadline:
            left = None if deadline is None else (deadline - time.monotonic()) * 1000
            for descriptor, _ in ready.poll(left):
                if descriptor == self._deaths:
                    self._reap()
                elif self._obey() == GO:
                    deadline = time.monotonic() + deadline_seconds
        os._exit(0)

    def _obey(self) -> bytes:
        """Do what the host says; if it has gone, go too."""
        order = self._status.recv(16)
        if order == TERMINATE:
            os.kill(self.pid, signal.SIGTERM)
        elif order != GO:
            os._exit(0)
        return order

    def _reap(self) -> None:
        """Reap every zombie; tell the host of PID 2's end; go when nobody is left."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._deaths, 4096)
        self._reap_all()
        if self._wait_status is None:
            return
        if not self._is_told:
            self._status.send(ENDED + struct.pack(">I?", self._wait_status, self._is_alone))
            self._is_told = True
        if self._is_alone:
            os._exit(0)

    def _reap_all(self) -> None:
        while True:
            try:
                ended, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._is_alone = True
                return
            if ended == 0:
                return
            if ended == self.pid:
                self._wait_status = wait_status

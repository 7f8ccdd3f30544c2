"""PID 1 of a guest: it locks itself down, starts the program as PID 2, and outlives it.

It tells the host how PID 2 ended, over a socket that PID 2 never had; it reaps what is orphaned;
when it goes, the kernel kills everything that is left in its namespace.
"""

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
READY, ENDED, FAULT = b"R", b"\x01", b"F"
TERMINATE = b"T"
LINGER_SECONDS = 2.0


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
        pid = os.fork()
    except Exception as fault:  # noqa: BLE001 - whatever it is, the host must hear of it
        status.send(FAULT + f"{type(fault).__name__}: {fault}".encode())
        os._exit(1)
    if pid == 0:
        _become_program(status, work_folder, program)
    socket.send_fds(status, [READY], [work_folder])
    os.close(work_folder)
    _wait(status, pid, deadline_seconds)


def _become_program(status: socket.socket, work_folder: int, program: Callable[[], None]) -> None:
    status.close()
    os.close(work_folder)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # its own /proc entries are its own again
    os.setsid()
    program()
    os._exit(0)


def _wait(status: socket.socket, pid: int, deadline_seconds: float) -> None:
    """Reap until PID 2 and all it left have ended; serve the host meanwhile. Never returns."""
    for descriptor in (0, 1, 2, PAYLOAD, ANSWER):
        os.close(descriptor)
    has_ended = False

    def reap(_number: int, _frame: FrameType | None) -> None:
        nonlocal has_ended
        wait_status, is_alone = _reap_all(pid)
        if wait_status is not None:
            has_ended = True
            status.send(ENDED + struct.pack(">I?", wait_status, is_alone))
        if has_ended and is_alone:
            os._exit(0)

    signal.signal(signal.SIGCHLD, reap)
    reap(0, None)
    _serve(status, pid, time.monotonic() + deadline_seconds)


def _reap_all(pid: int) -> tuple[int | None, bool]:
    """Reap every zombie; give PID 2's wait status if it was one, and whether nobody is left."""
    wait_status = None
    while True:
        try:
            ended, its_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return wait_status, True
        if ended == 0:
            return wait_status, False
        if ended == pid:
            wait_status = its_status


def _serve(status: socket.socket, pid: int, deadline: float) -> None:
    """Pass the host's request to end on to PID 2; end with the host, or past every deadline."""
    ready = select.poll()
    ready.register(status, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not ready.poll(left * 1000):
            break
        if status.recv(16) != TERMINATE:
            break
        os.kill(pid, signal.SIGTERM)
    os._exit(0)

"""PID 1 of a guest: it locks itself down, starts the program as PID 2, and reaps.

It tells the host how PID 2 ended, over a socket that PID 2 never had; when it goes, the kernel
kills everything that is left in its namespace. It obeys nobody: the host ends it with SIGKILL.
"""

import _socket  # without what socket puts around it: each object that is used costs a page
import os
import resource
import select
import struct
from collections.abc import Callable

import kernel
import lockdown

PAYLOAD, ANSWER, STATUS = 3, 4, 5
"""The descriptors of a guest besides 0, 1 and 2. STATUS is closed in PID 2."""
KIND_OF_STATUS = int(_socket.AF_UNIX), int(_socket.SOCK_SEQPACKET), 0
UNTIL_SETTLED = 20
"""So often the interpreter looks at code before it stops rewriting it for what it meets there."""
FOLDER, READY, ENDED, FAULT = b"W", b"R", b"\x01", b"F"


def main(
    walls: lockdown.Walls,
    control_groups: list[int],
    processors: list[int],
    program: Callable[[], None],
) -> None:
    """Run the program as PID 2 and wait. Never returns."""
    status = _socket.socket(*KIND_OF_STATUS, STATUS)
    try:
        work_folder = lockdown.move_in(walls, control_groups, processors)
        # Before the limits: the kernel counts descriptors under way per user, so with a guest's
        # own small limit every other guest of this user could keep us from sending, unix(7).
        _send_descriptors(status, work_folder, os.pidfd_open(os.getpid()))
        listener = lockdown.lock_down(walls)
        if listener >= 0:
            _let_watch(listener)
        pid = os.fork()
        if pid and listener < 0:
            os.write(STATUS, READY)
    except Exception as fault:  # noqa: BLE001 - whatever it is, the host must hear of it
        os.write(STATUS, FAULT + f"{type(fault).__name__}: {fault}".encode())
        os._exit(1)
    if pid == 0:
        _become_program(status, program)
    os.closerange(0, STATUS)
    _reap_all(pid)
    os._exit(0)


def rehearse() -> None:
    """Do in the zygote what each PID 1 does, as far as it has no effect: it is then settled."""
    for _ in range(UNTIL_SETTLED):
        _report(0)
    status, other = _socket.socketpair(*KIND_OF_STATUS)
    _send_descriptors(status, os.dup(0), os.pidfd_open(os.getpid()))
    for each in (status, other):
        each.close()


def _send_descriptors(status: _socket.socket, *descriptors: int) -> None:
    rights = struct.pack(f"={len(descriptors)}i", *descriptors)
    status.sendmsg([FOLDER], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    for descriptor in descriptors:
        os.close(descriptor)


def _let_watch(listener: int) -> None:
    """Tell the host where the descriptor to watch by is; keep it until the host has sent the call.

    Until then nothing is done that the watcher would have to answer. Then nobody but the watcher
    has it: when the watcher ends, what it would be asked fails.
    """
    os.write(STATUS, READY + struct.pack(">I", listener))
    call = select.poll()
    call.register(PAYLOAD, select.POLLIN)
    call.poll()
    os.close(listener)


def _become_program(status: _socket.socket, program: Callable[[], None]) -> None:
    """Be PID 2: a process like any other, in a session of its own."""
    kernel.close_from(status.detach())
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # its own /proc entries are its own again
    os.setsid()
    program()
    os._exit(0)


def _reap_all(pid: int) -> None:
    """Wait until nobody is left; tell the host of PID 2's end as soon as it comes."""
    _report(0)  # for nobody: the pages it writes to are then no longer shared with PID 2
    while True:
        try:
            ended, wait_status = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if ended == pid:
            os.write(STATUS, _report(wait_status))  # not send(): that would be watched


def _report(wait_status: int) -> bytes:
    return ENDED + struct.pack(">I?dQ", wait_status, _is_alone(), *_used())


def _used() -> tuple[float, int]:
    """Give the processor time of all that was reaped, and the memory of the largest, in KiB."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss


def _is_alone() -> bool:
    """Say whether PID 2 has left nobody behind."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False

"""The keeper: outside the boundary, it starts one zygote inside and removes what it leaves.

    __main__.py keeper CONTROL_DESCRIPTOR

Three lives hang on each other. The zygote is PID 1 of its own pid namespace, so its end is the end
of every guest. It ends when the control socket does, which the kernel closes when the host dies.
The keeper waits for that end, removes the control groups of the dead, and goes.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

import identity
import kernel
import view

LIFELINE = 0
"""Its standard input: a pipe that nobody writes, and that ends with the host."""
CONFIGURATION_BYTES = 1 << 20
REMOVAL_TRIES = 500
REMOVAL_PAUSE_SECONDS = 0.01

_OUTER = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


def main(control_descriptor: int) -> None:
    """Start the zygote, outlive it, and clean up after it."""
    control = socket.socket(fileno=control_descriptor)
    plan = json.loads(control.recv(CONFIGURATION_BYTES))
    user, group = os.geteuid(), os.getegid()
    flags = _OUTER | (kernel.CLONE_NEWNET if plan["own_network"] else 0)
    flags |= kernel.CLONE_NEWUSER if user != 0 else 0
    pid, pidfd = kernel.clone(flags)
    if pid == 0:
        _become_zygote(control, plan, user, group)
    control.close()
    _wait_for_either_end(pidfd)
    os.waitpid(pid, 0)
    for folder in plan["control_groups"]:
        remove_control_group(folder)


def _wait_for_either_end(pidfd: int) -> None:
    """Wait until the zygote is dead; if the host dies first, see to it.

    The zygote ends by itself when the host has gone, but not if somebody has stopped it.
    """
    events = select.poll()
    for descriptor in (LIFELINE, pidfd):
        events.register(descriptor, select.POLLIN)
    events.poll()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _become_zygote(control: socket.socket, plan: dict[str, Any], user: int, group: int) -> None:
    """Build the guests' file system, give up root, and start the interpreter afresh in there."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
        if user != 0:
            identity.map_identity(0, user, group)
        kernel.set_host_name(b"sandbox")  # before a preload can ask for the host's
        view.build(plan["view"])
        if user == 0:
            _give_up_root(plan["user"])
        os.set_inheritable(control.fileno(), True)
        os.execve(plan["argv"][0], [*plan["argv"], str(control.fileno())], plan["environment"])
    except OSError as fault:
        control.send(json.dumps({"fault": str(fault)}).encode())
        os._exit(1)


def _give_up_root(user: int) -> None:
    """Become an ordinary user with a user namespace, as everybody else is from the start."""
    identity.become(user)
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    identity.map_identity(0, user, user)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)  # the change of user cleared it


def remove_control_group(folder: str) -> None:
    """Remove a group and the groups below it; wait a little for the last process to be gone."""
    if not os.path.isdir(folder):
        return
    for name in os.listdir(folder):
        if os.path.isdir(f"{folder}/{name}"):
            _remove_folder(f"{folder}/{name}")
    _remove_folder(folder)


def _remove_folder(folder: str) -> None:
    for _ in range(REMOVAL_TRIES):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(REMOVAL_PAUSE_SECONDS)
        else:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))

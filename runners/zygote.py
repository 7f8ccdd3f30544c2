"""The zygote: a warm interpreter inside the guests' file system that clones one guest per call.

    __main__.py zygote CONTROL_DESCRIPTOR

It is PID 1 of its own pid namespace and runs trusted code only. Over the control socket come one
configuration and then requests, each with the descriptors of one guest. It ends when that socket
does, and all its guests with it.
"""

import _socket  # without what socket puts around it: each object that is used costs a page
import array
import contextlib
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import site
import struct
import sys
from typing import Any, NamedTuple

import guest as program_of_guest
import init
import kernel
import lockdown

MESSAGE_BYTES = 1 << 20
MOST_DESCRIPTORS = 16
RIGHTS_BYTES = _socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
INNER = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)
STDERR = 2
REAPED, FAULT = b"X", b"F"


def main(control_descriptor: int) -> None:
    """Prepare once, then clone guests until the host goes."""
    control = _socket.socket(fileno=_leave_low_numbers(control_descriptor))
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    _raise_open_files()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # or a guest could interrupt its PID 1
    try:
        configuration = json.loads(control.recv(MESSAGE_BYTES))
        walls = _make_walls(configuration)
        init.rehearse()
        for name in configuration["own_variables"]:
            del os.environ[name]
        warm_up(configuration)
    except Exception as fault:  # noqa: BLE001 - a preload may raise anything; the host is told
        control.send(json.dumps({"fault": str(fault)}).encode())
        return
    control.send(json.dumps({"ready": True}).encode())
    Zygote(control, walls, configuration).serve()


def _leave_low_numbers(control: int) -> int:
    """Keep the numbers of a guest's own descriptors taken here; give the new one of control."""
    moved = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, MOST_DESCRIPTORS)
    for number in range(STDERR + 1, MOST_DESCRIPTORS):
        os.dup2(STDERR, number, inheritable=False)
    if control >= MOST_DESCRIPTORS:
        os.close(control)
    return moved


def _raise_open_files() -> None:
    """Allow as many descriptors as may be: those of all guests, here and under way to the host."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _make_walls(configuration: dict[str, Any]) -> lockdown.Walls:
    landlock = lockdown.plan_landlock(
        configuration["landlock_abi"],
        [(path, right) for path, right in configuration["rights"]],
        may_execute=configuration["may_execute"],
    )
    return lockdown.Walls(
        mounts=lockdown.plan_mounts(
            configuration["private_folders"], configuration["scratch_options"]
        ),
        masks=lockdown.plan_masks(configuration["proc_masks"]),
        rights=lockdown.plan_rights(configuration["limits"]),
        own_network=configuration["own_network"],
        system_call_filter=bytes.fromhex(configuration["filter"]),
        landlock=landlock,
        is_watched=configuration["is_watched"],
    )


def warm_up(configuration: dict[str, Any]) -> None:
    """Import what guests need, and make the collector leave it alone, so that it stays shared."""
    sys.path.remove(configuration["runners"])
    sys.path.extend(configuration["python_path"])
    site.setquit()
    site.setcopyright()
    site.sethelper()
    for module in configuration["preload"]:
        try:
            importlib.import_module(module)
        except Exception as fault:
            reason = f"the module {module} cannot be preloaded: {type(fault).__name__}: {fault}"
            raise ValueError(reason) from fault
    own = ("tool", "session") if configuration.get("is_for_sessions") else ("tool",)
    program_of_guest.warm_up(preload=own)
    gc.collect()
    kernel.trim_memory()
    gc.freeze()


class Guest(NamedTuple):
    """A guest that runs, or waits for its call."""

    pid: int
    pidfd: int
    status: _socket.socket
    alarm: int
    """Becomes readable when it has lived too long: the host should have ended it, but hangs."""


class Zygote:
    """Clones guests and tells the host, on each guest's own socket, when it is gone for good."""

    def __init__(
        self, control: _socket.socket, walls: lockdown.Walls, configuration: dict[str, Any]
    ) -> None:
        """Start with no guest."""
        self._control = control
        self._walls = walls
        self._runners: str = configuration["runners"]
        self._namespaces = INNER | (kernel.CLONE_NEWNET if configuration["own_network"] else 0)
        self._python_path = ":".join(configuration["python_path"])
        self._is_fresh: bool = configuration["fresh_interpreter"]
        self._guests: dict[int, Guest] = {}
        self._events = select.epoll()
        self._events.register(control, select.EPOLLIN)

    def serve(self) -> None:
        """Answer requests and ends of guests until the host is gone."""
        while True:
            ready = [descriptor for descriptor, _ in self._events.poll()]
            for descriptor in ready:
                if guest := self._guests.get(descriptor):  # reaped in this very round, maybe
                    self._take_event(guest, descriptor)
            # Last: a new guest takes the numbers of one that was reaped in this round.
            if self._control.fileno() in ready and not self._take_request():
                return

    def _take_event(self, guest: Guest, descriptor: int) -> None:
        if descriptor == guest.pidfd:
            self._reap(guest)
        else:  # the host has let go of it, or its alarm rings
            self._events.unregister(descriptor)
            signal.pidfd_send_signal(guest.pidfd, signal.SIGKILL)

    def _take_request(self) -> bool:
        """Start the guest that the host asks for: its processors, with its descriptors."""
        message, rights, _, _ = self._control.recvmsg(4096, RIGHTS_BYTES)
        if not message:
            return False
        descriptors = memoryview(rights[0][2]).cast("i").tolist()
        status = _socket.socket(*init.KIND_OF_STATUS, descriptors[0])
        try:
            self._start(status, descriptors[1:], memoryview(message).cast("H").tolist())
        except OSError as fault:
            status.send(FAULT + str(fault).encode())
            status.close()
            os.close(descriptors[1])
        for descriptor in descriptors[2:]:
            os.close(descriptor)
        return True

    def _start(self, status: _socket.socket, rest: list[int], processors: list[int]) -> None:
        """Clone one guest; keep its alarm, and its socket to say when it is reaped."""
        pid, pidfd = kernel.clone(self._namespaces)
        if pid == 0:
            self._become_guest(status.fileno(), rest[1:], processors)
        guest = Guest(pid, pidfd, status, rest[0])
        for descriptor in (pidfd, status.fileno(), guest.alarm):
            self._guests[descriptor] = guest
            self._events.register(descriptor, select.EPOLLIN)

    def _become_guest(self, status: int, rest: list[int], processors: list[int]) -> None:
        """Keep this guest's own descriptors, at their fixed numbers, and close all others."""
        try:
            control_groups = _arrange(status, rest)
            program = self._fresh_program if self._is_fresh else program_of_guest.run
            init.main(self._walls, control_groups, processors, program)
        finally:
            os._exit(70)

    def _fresh_program(self) -> None:
        """Become a new interpreter, which then takes the call."""
        for descriptor in (init.PAYLOAD, init.ANSWER):
            os.set_inheritable(descriptor, True)
        argv = [sys.executable, "-I", "-S", self._runners, "guest", self._python_path]
        os.execv(sys.executable, argv)

    def _reap(self, guest: Guest) -> None:
        """Tell the host that nothing is left of a guest: its PID 1 goes last of all."""
        _, _, used = os.wait4(guest.pid, 0)
        report = struct.pack(">dQ", used.ru_utime + used.ru_stime, used.ru_maxrss)
        with contextlib.suppress(OSError):  # the host did not wait for it
            guest.status.send(REAPED + report)
        for descriptor in (guest.pidfd, guest.status.fileno(), guest.alarm):
            del self._guests[descriptor]
            # Closing alone is not enough while a clone, just made, has copies; epoll(7).
            with contextlib.suppress(FileNotFoundError):  # what has ended it is out already
                self._events.unregister(descriptor)
        guest.status.close()
        os.close(guest.pidfd)
        os.close(guest.alarm)


def _arrange(status: int, rest: list[int]) -> list[int]:
    """Move stdin, stdout, stderr, payload, answer and status to 0..5, the control groups behind."""
    wanted = [*rest[:5], status, *rest[5:]]
    for number, old in enumerate(wanted):  # none has such a number yet: see _leave_low_numbers
        os.dup2(old, number, inheritable=number <= STDERR)
    kernel.close_from(len(wanted))
    return list(range(init.STATUS + 1, len(wanted)))

"""The zygote: a warm interpreter inside the guests' file system that clones one guest per call.

    __main__.py zygote CONTROL_DESCRIPTOR

It is PID 1 of its own pid namespace and runs trusted code only. Over the control socket come one
configuration and then requests, each with the descriptors of one guest. It ends when that socket
does, and all its guests with it.
"""

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
import socket
import struct
import sys
import time
from typing import Any, NamedTuple

import guest as program_of_guest
import init
import kernel
import lockdown

MESSAGE_BYTES = 1 << 20
MOST_DESCRIPTORS = 16
INNER = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)
STDERR = 2
STARTED, REAPED, FAULT = b"S", b"X", b"F"


def main(control_descriptor: int) -> None:
    """Prepare once, then clone guests until the host goes."""
    control = socket.socket(fileno=control_descriptor)
    control.set_inheritable(False)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    _raise_open_files()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # or a guest could interrupt its PID 1
    try:
        configuration = json.loads(control.recv(MESSAGE_BYTES))
        walls = _make_walls(configuration)
        warm_up(configuration)
    except Exception as fault:  # noqa: BLE001 - a preload may raise anything; the host is told
        control.send(json.dumps({"fault": str(fault)}).encode())
        return
    control.send(json.dumps({"ready": True}).encode())
    Zygote(control, walls, configuration).serve()


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
        scratch_options=configuration["scratch_options"],
        private_folders=tuple(configuration["private_folders"]),
        limits=tuple((limit, value) for limit, value in configuration["limits"]),
        proc_masks=tuple(
            (source, target)
            for source, target in configuration["proc_masks"]
            if os.path.exists(target)
        ),
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
    program_of_guest.warm_up()
    gc.collect()
    gc.freeze()


class Guest(NamedTuple):
    """A guest that runs, or waits for its call."""

    pid: int
    pidfd: int
    status: socket.socket


class Zygote:
    """Clones guests and tells the host, on each guest's own socket, when it is gone for good."""

    def __init__(
        self, control: socket.socket, walls: lockdown.Walls, configuration: dict[str, Any]
    ) -> None:
        """Start with no guest."""
        self._control = control
        self._walls = walls
        self._runners: str = configuration["runners"]
        self._namespaces = INNER | (kernel.CLONE_NEWNET if configuration["own_network"] else 0)
        self._python_path = ":".join(configuration["python_path"])
        self._is_fresh: bool = configuration["fresh_interpreter"]
        self._guests: dict[int, Guest] = {}
        self._deadlines: dict[int, float] = {}
        self._events = select.epoll()
        self._events.register(control, select.EPOLLIN)

    def serve(self) -> None:
        """Answer requests and ends of guests until the host is gone."""
        while True:
            ready = [descriptor for descriptor, _ in self._events.poll(self._patience())]
            for descriptor in ready:
                if guest := self._guests.get(descriptor):  # reaped in this very round, maybe
                    self._take_event(guest, descriptor)
            # Last: a new guest takes the numbers of one that was reaped in this round.
            if self._control.fileno() in ready and not self._take_request():
                return
            self._end_forgotten()

    def _take_event(self, guest: Guest, descriptor: int) -> None:
        if descriptor == guest.pidfd:
            self._reap(guest)
        else:
            self._take_word(guest)

    def _patience(self) -> float | None:
        """Give the time until the next deadline, None where there is none."""
        return (
            max(0.0, min(self._deadlines.values()) - time.monotonic()) if self._deadlines else None
        )

    def _take_request(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 4096, MOST_DESCRIPTORS)
        if not message:
            return False
        status = socket.socket(fileno=descriptors[0])
        try:
            self._start(status, descriptors[1:], json.loads(message))
        except OSError as fault:
            status.send(FAULT + str(fault).encode())
            status.close()
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        return True

    def _start(self, status: socket.socket, rest: list[int], request: dict[str, Any]) -> None:
        """Clone one guest; keep its socket to say when it is reaped."""
        pid, pidfd = kernel.clone(self._namespaces)
        if pid == 0:
            self._become_guest(status.fileno(), rest, request)
        socket.send_fds(status, [STARTED], [pidfd])
        guest = Guest(pid, pidfd, status)
        for descriptor in (pidfd, status.fileno()):
            self._guests[descriptor] = guest
            self._events.register(descriptor, select.EPOLLIN)

    def _become_guest(self, status: int, rest: list[int], request: dict[str, Any]) -> None:
        """Keep this guest's own descriptors, at their fixed numbers, and close all others."""
        try:
            control_groups = _arrange(status, rest)
            program = self._fresh_program if self._is_fresh else program_of_guest.run
            init.main(self._walls, control_groups, request["processors"], program)
        finally:
            os._exit(70)

    def _fresh_program(self) -> None:
        """Become a new interpreter, which then takes the call."""
        for descriptor in (init.PAYLOAD, init.ANSWER):
            os.set_inheritable(descriptor, True)
        argv = [sys.executable, "-I", "-S", self._runners, "guest", self._python_path]
        os.execv(sys.executable, argv)

    def _take_word(self, guest: Guest) -> None:
        """The host says how long the guest may still live, or has let go of it."""
        if word := guest.status.recv(16):
            (seconds,) = struct.unpack(">d", word)
            self._deadlines[guest.pidfd] = time.monotonic() + seconds
        else:
            self._events.unregister(guest.status)
            signal.pidfd_send_signal(guest.pidfd, signal.SIGKILL)

    def _end_forgotten(self) -> None:
        """Kill what is past every deadline: the host should have, but hangs."""
        now = time.monotonic()
        for pidfd in [pidfd for pidfd, deadline in self._deadlines.items() if now > deadline]:
            del self._deadlines[pidfd]
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _reap(self, guest: Guest) -> None:
        """Tell the host that nothing is left of a guest: its PID 1 goes last of all."""
        _, _, used = os.wait4(guest.pid, 0)
        report = struct.pack(">dQ", used.ru_utime + used.ru_stime, used.ru_maxrss)
        with contextlib.suppress(OSError):  # the host did not wait for it
            guest.status.send(REAPED + report)
        self._deadlines.pop(guest.pidfd, None)
        for descriptor in (guest.pidfd, guest.status.fileno()):
            del self._guests[descriptor]
            # Closing alone is not enough while a clone, just made, has copies; epoll(7).
            with contextlib.suppress(FileNotFoundError):  # a status that ended is out already
                self._events.unregister(descriptor)
        guest.status.close()
        os.close(guest.pidfd)


def _arrange(status: int, rest: list[int]) -> list[int]:
    """Move stdin, stdout, stderr, payload, answer and status to 0..5, the control groups behind."""
    wanted = [*rest[:5], status, *rest[5:]]
    # First out of the way of the numbers that they are to have.
    safe = [fcntl.fcntl(old, fcntl.F_DUPFD_CLOEXEC, len(wanted)) for old in wanted]
    for number, old in enumerate(safe):
        os.dup2(old, number, inheritable=number <= STDERR)
    kernel.close_from(len(wanted))
    return list(range(init.STATUS + 1, len(wanted)))

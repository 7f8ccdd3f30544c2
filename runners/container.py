"""PID 1 of a container: takes one call from the host, starts it as a child, and tells what it saw.

container_session.py is the same for a session.

    __main__.py container -

It locks itself down before it takes the call, so that all it starts is born locked down. Whoever
runs the call never has its descriptors and cannot look into it; when it goes, the kernel kills
everything in the container with it. It goes by itself when the host is gone, or after every
deadline.
"""

import contextlib
import errno
import glob
import json
import os
import resource
import signal
import site
import struct
import sys
import time
from typing import Any, NoReturn

import counters
import gather
import guest as program_of_guest
import guest_pipes
import identity
import kernel
import link as wire
import lockdown
import zygote

WORK_FOLDER = b"/box"
LOADERS = ("/lib*/ld-*.so*", "/lib/*-linux-gnu/ld-*.so*", "/opt/sandbox/python/loader")
"""Dynamic loaders: the kernel executes them on behalf of every program."""
STRAGGLER_SECONDS = 0.1
"""How long what the main process left behind may go on, for the last of its output."""
WATCH_SECONDS = 0.01
"""Pause between two looks where no control group counts."""
DISK_SECONDS = 0.05
"""Pause between two looks at the disk, which is two file systems of the quota's size each."""
LEAST_PAUSE_SECONDS = 0.005
GUEST_OOM_SCORE = "1000"
"""Before PID 1, whose end would leave nobody to tell of it, proc_pid_oom_score_adj(5)."""
GUEST_DESCRIPTORS = 5
STDERR = 2


def main() -> None:
    """Serve one call. Never returns while the host is there to be answered."""
    link = wire.Link()
    link.send(wire.HELLO, json.dumps(_describe()).encode())
    configuration = json.loads(link.wait(wire.CONFIGURATION))
    kind = _kind_of(configuration)
    try:
        _prepare(configuration)
    except Exception as fault:  # noqa: BLE001 - whatever it is, the host must hear of it
        link.send(wire.FAULT, f"{type(fault).__name__}: {fault}".encode())
        return
    link.send(wire.READY, b"1")
    payload = link.wait(wire.CALL)
    kind(link, configuration).run(payload)
    os._exit(0)


def _kind_of(configuration: dict[str, Any]) -> "type[Call]":
    if not configuration["is_for_sessions"]:
        return Call
    import container_session  # it stands on this

    return container_session.Session


def _describe() -> dict[str, Any]:
    folders = [folder for folder in site.getsitepackages() if os.path.isdir(folder)]
    version = list(sys.version_info[:2])
    return {"wire": wire.WIRE_VERSION, "python": version, "packages": folders}


def _prepare(configuration: dict[str, Any]) -> None:
    """Warm up as the zygote does, then take every right away."""
    os.environ.clear()
    os.environ.update(configuration["environment"])
    os.chdir(WORK_FOLDER)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # or the guest could interrupt PID 1
    zygote.warm_up(configuration)
    abi = kernel.landlock_abi()
    if configuration["needs_landlock"] and not abi:
        message = "programs.kind 'listed' needs Landlock, which this kernel lacks"
        raise ValueError(message)
    rights = [(path, right) for path, right in configuration["rights"]]
    if configuration["needs_landlock"]:
        rights += [(path, "run") for pattern in LOADERS for path in glob.glob(pattern)]
    walls = lockdown.plan_landlock(abi, rights, may_execute=configuration["may_execute"])
    _use_processors(configuration["cpus"], configuration["turn"])
    for limit, wanted in configuration["limits"]:
        _, hard = resource.getrlimit(limit)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))  # soft = hard: no raising it again
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # nobody in the container may look into PID 1
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    lockdown.restrict_files(walls)
    kernel.install_filter(bytes.fromhex(configuration["filter"]))


class Call:
    """One call, from its payload to the death of its last process."""

    def __init__(self, link: wire.Link, configuration: dict[str, Any]) -> None:
        """Make the pipes. Nothing is started."""
        self._link = link
        self._configuration = configuration
        self._counters = counters.find_counters()
        self._pipes = guest_pipes.Pipes()
        self._stdin = self._payload = self._wake = -1
        self._pid = 0
        self._stopped_by: str | None = None
        self._reached: set[str] = set()
        self._is_over = self._is_ending = False
        self._kill_at = time.monotonic() + configuration["deadline_seconds"]
        self._next_look = 0.0
        self._end_at = float("inf")

    def run(self, payload: bytes) -> None:
        """Start it, see it through, and say all that is to be said of it."""
        signal.signal(signal.SIGALRM, self._end)
        self._end_after(self._kill_at)
        self._start(payload)
        while not self._is_over:
            self._turn()
        self._pipes.drain()
        self._hand_back()
        self._tell()
        self._link.send(wire.DONE, b"1")

    # Starting

    def _start(self, payload: bytes) -> None:
        with identity.made_by(self._configuration["guest_user"]):
            self._stdin, stdin = self._pipes.make_input()
            self._payload, theirs_payload = self._pipes.make_input()
            outputs = [self._make_output(kind) for kind in (wire.STDOUT, wire.STDERR, wire.ANSWER)]
        theirs = [stdin, *outputs[:2], theirs_payload, outputs[2]]
        self._wake, waker = os.pipe()
        for descriptor in (self._wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake_only)
        self._pid = os.fork()
        if self._pid == 0:
            self._become_guest(theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self._pipes.watch(self._wake, self._reap)
        self._pipes.watch(self._link.incoming, self._read_orders)
        self._hand_over(payload)
        self._take_orders()  # they may have come with the call
        self._schedule_look(0.0)

    def _hand_over(self, payload: bytes) -> None:
        """Give it its call, the only one."""
        self._pipes.write(self._payload, payload, is_last=True)

    def _make_output(self, kind: int) -> int:
        """Make a pipe from the guest, its bytes passed on as frames of this kind."""
        return self._pipes.make_output(lambda chunk: self._link.send(kind, chunk))

    def _become_guest(self, theirs: list[int]) -> NoReturn:
        """Be the call's main process, with its own five descriptors and nothing else of ours."""
        try:
            signal.set_wakeup_fd(-1)
            for caught in (signal.SIGCHLD, signal.SIGALRM):
                signal.signal(caught, signal.SIG_DFL)
            self._link.close()
            safe = [_move_up(descriptor) for descriptor in theirs]
            for number, descriptor in enumerate(safe):
                os.dup2(descriptor, number, inheritable=number <= 2)
            os.closerange(GUEST_DESCRIPTORS, wire.FIRST_FREE * 10)
            _be_killed_first()
            if user := self._configuration["guest_user"]:
                identity.become_other(user)
            with contextlib.suppress(OSError):
                kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # its own /proc entries are its own
            os.setsid()
            if self._configuration["fresh_interpreter"]:
                self._become_fresh()
            program_of_guest.run()
        except Exception as fault:  # noqa: BLE001 - a child of ours must not go on as PID 1 does
            os.write(STDERR, f"the guest cannot be started: {fault!r}\n".encode())
        finally:
            os._exit(70)

    def _become_fresh(self) -> None:
        for descriptor in (program_of_guest.PAYLOAD, program_of_guest.ANSWER):
            os.set_inheritable(descriptor, True)
        python, path = self._configuration["command"], self._configuration["python_path"]
        argv = [*python, self._configuration["runners"], "guest", ":".join(path)]
        os.execvp(argv[0], argv)

    # Running

    def _turn(self) -> None:
        """Wait for what comes next, handle it, and do what is due."""
        until = min(self._kill_at, self._next_look)
        self._pipes.wait(until - time.monotonic())
        now = time.monotonic()
        if now >= self._next_look:
            self._reap()  # gVisor does not tell of every orphan's end
            if not self._is_over:
                self._look()
        if now >= self._kill_at:
            self._kill()

    def _read_orders(self) -> None:
        self._link.read()
        self._take_orders()

    def _take_orders(self) -> None:
        """Do what the host has said so far."""
        while order := self._link.take():
            self._obey(*order)

    def _obey(self, kind: int, body: bytes) -> None:
        if kind == wire.STDIN:
            self._pipes.write(self._stdin, body, is_last=False)
        elif kind == wire.STDIN_END:
            self._pipes.write(self._stdin, b"", is_last=True)
        elif kind == wire.TERMINATE:
            self._signal(signal.SIGTERM)
        elif kind == wire.KILL:
            self._kill()

    def _signal(self, number: int) -> None:
        """Send the main process a signal, while it is there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    # Watching

    def _look(self) -> None:
        """Compare what is used with what may be used."""
        sample, disk = self._counters.look(), counters.disk_use()
        quota = self._configuration["quota"]
        if sample.cpu_seconds >= quota["cpu_seconds"]:
            self._stop("cpu")
        if isinstance(self._counters, counters.Processes):
            if sample.processes > quota["processes"]:
                self._stop("processes")  # before their memory: most of it they share
            if sample.memory_bytes + disk.bytes > quota["memory_bytes"]:
                self._stop("memory")
        if sample.processes >= quota["processes"]:
            self._reached.add("processes")
        if disk.bytes > quota["disk_bytes"] or disk.files > quota["disk_files"]:
            self._stop("disk")
        self._schedule_look(sample.cpu_seconds)

    def _schedule_look(self, used_cpu_seconds: float) -> None:
        """Look again before what is left of the processor time can be used up."""
        quota = self._configuration["quota"]
        left = (quota["cpu_seconds"] - used_cpu_seconds) / quota["cpus"]
        is_counted = isinstance(self._counters, counters.Groups)
        pause = min(left, DISK_SECONDS if is_counted else WATCH_SECONDS)
        self._next_look = time.monotonic() + max(LEAST_PAUSE_SECONDS, pause)

    def _stop(self, limit: str) -> None:
        self._stopped_by = self._stopped_by or limit
        self._kill()

    # Ending

    def _kill(self) -> None:
        """Kill every process but this one, kill(2)."""
        self._is_ending = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        self._kill_at = time.monotonic() + LEAST_PAUSE_SECONDS  # until none is left to be killed

    def _reap(self) -> None:
        """Take every process that has ended: those that lost their parents are this one's."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake, guest_pipes.READ_BYTES)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._is_over = True
                return
            if not pid:
                return
            if pid == self._pid:
                self._take_end(status)

    def _take_end(self, status: int) -> None:
        """Tell how the main process ended; what it left behind gets a moment, then goes too."""
        is_alone = _is_alone()
        self._link.send(wire.ENDED, struct.pack(">BI?", 1, status, is_alone))
        if not is_alone:
            self._look()
        self._is_ending = True
        self._kill_at = min(self._kill_at, time.monotonic() + STRAGGLER_SECONDS)

    def _end_after(self, moment: float) -> None:
        """End by itself so long after a deadline, should the host not even read what is said to it.

        Every write then waits for ever.
        """
        self._end_at = moment + self._configuration["last_seconds"]
        signal.setitimer(signal.ITIMER_REAL, max(0.001, self._end_at - time.monotonic()))

    def _end(self, _number: int, _frame: object) -> None:
        """End, and with this everything in the container; not when the guest sends the signal."""
        if time.monotonic() >= self._end_at - LEAST_PAUSE_SECONDS:
            os._exit(0)

    def _hand_back(self) -> None:
        """Give what the call left."""
        self._give_files()

    def _give_files(self) -> None:
        """Give what lies in the work folder, within the quota."""
        quota = self._configuration["quota"]
        gather.gather(
            WORK_FOLDER,
            quota["returned_files"],
            quota["returned_bytes"],
            self._send_file,
            lambda path, reason: self._leave_out(path, reason.encode()),
        )

    def _send_file(self, path: bytes, content: bytes) -> None:
        self._link.send(wire.FILE, struct.pack(">H", len(path)), path, content)

    def _leave_out(self, path: bytes, reason: bytes) -> None:
        self._link.send(wire.LEFT_OUT, struct.pack(">H", len(path)), path, reason)

    def _tell(self) -> None:
        """Tell what was used."""
        self._link.send(wire.REPORT, json.dumps(self._report()).encode())

    def _report(self) -> dict[str, Any]:
        sample = self._counters.look()
        quota, disk = self._configuration["quota"], counters.disk_use()
        files = disk.files if disk.counts_files else counters.count_files(quota["disk_files"])
        if disk.is_full:
            self._reached.add("disk")
        if disk.bytes > quota["disk_bytes"] or files > quota["disk_files"]:
            self._stopped_by = self._stopped_by or "disk"
        return {
            "cpu_seconds": sample.cpu_seconds,
            "peak_memory_bytes": self._counters.peak_memory_bytes(),
            "peak_processes": self._counters.peak_processes(),
            "disk_bytes": disk.bytes,
            "limits_hit": self._counters.limits_hit(),
            "limits_reached": sorted(self._reached),
            "stopped_by": self._stopped_by,
        }


def _wake_only(_number: int, _frame: object) -> None:
    """Do nothing: the descriptor of set_wakeup_fd() tells of it, signal(7)."""


def _move_up(descriptor: int) -> int:
    while descriptor < wire.FIRST_FREE:
        descriptor = os.dup(descriptor)
    return descriptor


def _use_processors(number: int, turn: int) -> None:
    """Use so many of the processors that there are, each container others."""
    there = sorted(os.sched_getaffinity(0))
    first = turn * number % len(there)
    os.sched_setaffinity(0, (there * 2)[first : first + min(number, len(there))])


def _be_killed_first() -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(GUEST_OOM_SCORE)


def _is_alone() -> bool:
    """Say whether the main process has left nobody behind."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    except OSError as fault:
        return fault.errno == errno.ECHILD
    return False

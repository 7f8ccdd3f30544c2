"""The watcher: writes down what one guest asks of the kernel, seccomp_unotify(2).

    __main__.py watcher DESCRIPTOR

On the host's side, one for each watched call, and with no right but over guests. A guest's call
that is watched waits in the kernel until the watcher has answered. The answer is what the filter
says of the call's registers (watch_filter.py), and nothing that is read here changes it: an allowed
call is let on, to be decided by the mounts, Landlock and the namespaces; a refused one fails. If
the watcher ends, its end closes the listener, and every call that it would see fails, ENOSYS.

Standard input has the configuration, JSON to its end. Standard output gets the record, one JSON
document a line, as runners/watch_log.py has it. DESCRIPTOR is a pidfd of the guest's PID 1, which
has the listener as the descriptor that the configuration names.
"""

import _thread
import contextlib
import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import identity
import kernel
import watch_calls
import watch_files
from watch_files import Asked, Event, Reader
from watch_filter import Decision, Filter
from watch_log import Log
from watch_memory import Unreadable
from watch_network import Network
from watch_places import Places
from watch_processes import MAIN, Process, Processes
from watch_room import names_below

RECEIVE, SEND = 0xC0502100, 0xC0182101  # linux/seccomp.h: SECCOMP_IOCTL_NOTIF_*
SET_FLAGS = 0x40082104
SYNC_WAKE_UP = 1
CONTINUE = 1
WRITTEN_AT_ONCE = 1000
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
CALL_AT = 16
"""Where the struct seccomp_data begins."""
ANSWER = struct.Struct("=QqiI")
BEGIN = "/run/sandbox/begin"
"""A name that a guest asks for just before its call begins; what it did before was ours."""
MARKING = {"access": 0, "faccessat": 1, "faccessat2": 1}
"""Calls by which it may ask, and the register with the name."""


def main(pidfd: int) -> None:
    """Watch until nobody is left to watch."""
    configuration = json.loads(sys.stdin.buffer.read())
    if os.geteuid() == 0:
        # As the owner of the guests' user namespaces it may read their memory; and that is all.
        identity.become(configuration["user"])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = kernel.syscall("pidfd_getfd", pidfd, configuration["listener"], 0)
    os.close(pidfd)
    gc.disable()  # nothing here is in a cycle, and what is kept grows with the record
    Watcher(listener, configuration).serve()


class Waiting(NamedTuple):
    """A call that waits, as the kernel tells of it: struct seccomp_notif."""

    cookie: int
    thread: int
    number: int
    arguments: tuple[int, ...]
    call: memoryview
    """The struct seccomp_data."""

    @classmethod
    def read(cls, notification: bytearray) -> "Waiting":
        """Take it apart."""
        cookie, thread, _, number, _, _, *arguments = NOTIFICATION.unpack(notification)
        return cls(cookie, thread, number, tuple(arguments), memoryview(notification)[CALL_AT:])


class Seen(NamedTuple):
    """What was read of a call while it waited, and what it was answered."""

    process: Process
    at: float
    number: int
    events: list[Event]
    decision: Decision
    new: Sequence[Process]
    """Processes that were not seen before it."""


class Watcher:
    """Takes one waiting call after the other: reads it, writes it down, answers it."""

    def __init__(self, listener: int, configuration: dict[str, Any]) -> None:
        """Take the listener, and tell the host that it watches."""
        self._listener = listener
        self._filter = Filter(bytes.fromhex(configuration["filter"]))
        self._names = {number: name for name, number in configuration["numbers"].items()}
        network = Network(is_closed=configuration["own_network"])
        readers = watch_files.READERS | watch_calls.READERS | network.readers
        self._readers = {
            number: readers[name] for number, name in self._names.items() if name in readers
        }
        numbers = configuration["numbers"]
        self._execs = {numbers["execve"], numbers["execveat"]}
        self._exit_group = numbers["exit_group"]
        self._log = Log(sys.stdout.fileno())
        self._processes = Processes()
        self._places: Places | None = None
        self._programs = configuration["programs"]
        self._begun_at = 0.0
        self._seen: list[Seen] = []
        self._lock = _thread.allocate_lock()
        self._has_help = False
        self._set_sync_wake_up()
        self._log.say("ready")

    def _set_sync_wake_up(self) -> None:
        """Have the kernel switch to the guest at once, where it can (6.6): a third less waiting."""
        libc = ctypes.CDLL(None)
        libc.ioctl(self._listener, ctypes.c_ulong(SET_FLAGS), ctypes.c_ulong(SYNC_WAKE_UP))

    def serve(self) -> None:
        """Answer calls until all who could make one are dead."""
        _thread.start_new_thread(self._receive_on, ())
        events = select.poll()
        events.register(self._listener, 0)  # its end is told unasked, as POLLHUP
        events.poll()
        with self._lock:
            self._write_down()
            self._log.end(self._processes.threads)
        os._exit(0)

    def _receive_on(self) -> NoReturn:
        """Take one call after the other, waiting for the next within the kernel.

        From when a call is taken on, no signal can interrupt it; before that one can, and a call
        that never fails so would. So where there are several to ask, or to send signals, a thread
        always waits there while another is at work. Both wake for each call, which costs a third.
        """
        try:
            while True:
                notification = bytearray(NOTIFICATION.size)
                with contextlib.suppress(OSError):  # who asked has died meanwhile
                    fcntl.ioctl(self._listener, RECEIVE, notification)
                    self._take(Waiting.read(notification))
        finally:  # a fault of ours: with this process ends what it would not see
            os._exit(1)

    def _take(self, asked: Waiting) -> None:
        """See a call, answer it, and note it once its process goes on already."""
        decision = self._filter.decide(asked.number, asked.call)
        seen = None
        with self._lock:
            try:
                seen = self._see(asked, decision)
            finally:  # whatever went wrong in the reading, the guest gets what the filter says
                has_waited = self._answer(asked, decision)
            # Else what was read may be another's, who has the number of one that was killed.
            if seen and has_waited:
                self._note(seen)

    def _answer(self, asked: Waiting, decision: Decision) -> bool:
        """Answer a call as the filter says; say whether it still waited."""
        answer = (0, CONTINUE) if decision.is_allowed else (-decision.error, 0)
        try:
            fcntl.ioctl(self._listener, SEND, ANSWER.pack(asked.cookie, 0, *answer))
        except OSError:  # who asked has died meanwhile
            return False
        return True

    def _see(self, asked: Waiting, decision: Decision) -> Seen | None:
        """Read what a call is about, before it goes on and changes it; None for what is ours."""
        process = self._processes.of(asked.thread)
        if process is None or not self._has_begun(process, asked):
            return None
        at = time.monotonic() - self._begun_at
        reader = self._readers.get(asked.number)
        events = self._read(reader, process, asked) if reader else []
        if asked.number in self._execs:
            process.forget_memory()
        return Seen(process, at, asked.number, events, decision, ())

    def _read(self, reader: Reader, process: Process, asked: Waiting) -> list[Event]:
        try:
            return self._events(reader, process, asked)
        except (OSError, Unreadable):
            # It became another program, or the number was another's before: ask again, once.
            self._processes.forget(asked.thread)
            again = self._processes.of(asked.thread)
        try:
            return self._events(reader, again, asked) if again else []
        except (OSError, Unreadable):  # it points nowhere: the kernel says EFAULT
            return []

    def _note(self, seen: Seen) -> None:
        """Keep it to be written with others: done by the thousand, it takes half the time each."""
        new = self._processes.take_new()
        self._seen.append(seen._replace(new=new) if new else seen)
        if seen.number == self._exit_group:
            self._processes.end(seen.process)
        if not self._has_help and self._processes.are_several:
            self._has_help = True
            _thread.start_new_thread(self._receive_on, ())
        if len(self._seen) >= WRITTEN_AT_ONCE:
            self._write_down()

    def _write_down(self) -> None:
        for seen in self._seen:
            self._write(seen)
        self._seen.clear()

    def _write(self, seen: Seen) -> None:
        process, at, number, events, decision, new = seen
        for each in new:
            self._log.process(each.serial, each.parent, each.number, at)
        self._log.call(number, is_refused=not decision.is_allowed)
        if not decision.is_allowed:
            refused = {"kind": "system_call", "number": number, "error": decision.error}
            events = [refused, *events]
        for event in events:
            said = event if decision.is_allowed else {**event, "outcome": "refused"}
            self._log.event(process.serial, at, said)
        if number == self._exit_group:
            self._log.ended(process.serial, at)

    def _events(self, reader: Reader, process: Process, asked: Waiting) -> list[Event]:
        if self._places is None:
            self._places = Places(asked.thread, self._programs)
        return list(reader(Asked(asked.thread, process, asked.arguments, self._places)))

    def _has_begun(self, process: Process, asked: Waiting) -> bool:
        """Say whether the call has begun: what its process did before, to start, was ours."""
        if self._begun_at:
            return True
        if process.number == MAIN and self._names.get(asked.number) in MARKING:
            with contextlib.suppress(OSError, Unreadable):
                place = asked.arguments[MARKING[self._names[asked.number]]]
                if process.memory().text(place) == BEGIN:
                    # nothing of the call has run yet: what lies there, it was given
                    self._log.room.give(names_below("/box", f"/proc/{asked.thread}/root"))
                    self._begun_at = time.monotonic()
                    self._log.say({"begun": self._begun_at})
        return False

"""The host's side of one zygote: starts it, asks it for guests, ends it."""

import json
import os
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from weakref import WeakSet

import anyio

from sandbox.backends.cgroups import ZygoteGroup, find_hierarchies
from sandbox.backends.channels import UNPRIVILEGED_USER
from sandbox.backends.limits import (
    filter_documents,
    guest_environment,
    process_limits,
    usable_processors,
)
from sandbox.backends.processes import owner_name
from sandbox.backends.processors import Processors, Shares
from sandbox.backends.seccomp import compile_filter, compile_watching_filter
from sandbox.backends.view import GUEST_RUNNERS, Interpreter, View, plan_view, private_folders
from sandbox.errors import CannotEnforce, EngineFault
from sandbox.policy import FullNetwork, NoPrograms, Policy
from sandbox.shipped import RUNNERS

__all__ = ["Zygote", "ZygotePlan", "wait_for_end"]

_alive: "WeakSet[Zygote]" = WeakSet()


def _let_go_after_fork() -> None:
    """Let zygotes go in a fork of the host: they must end when the host itself does."""
    for zygote in _alive:
        zygote.let_go()


os.register_at_fork(after_in_child=_let_go_after_fork)

START_SECONDS: Final = 30.0
END_SECONDS: Final = 10.0
MOST_MESSAGE_BYTES: Final = 1 << 20

_serials = count(1)


HUGE_PAGES: Final = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Has large objects of sessions lie in huge pages, where the host gives them to who asks: a fork of
100 MB then copies 50 entries and not 25,000."""


@dataclass(frozen=True, kw_only=True)
class ZygotePlan:
    """What a zygote is made from. Two calls with the same plan share it."""

    policy: Policy
    interpreter: Interpreter
    preload: tuple[str, ...]
    use_control_groups: bool
    landlock_abi: int
    is_for_sessions: bool = False
    is_watched: bool = False

    @property
    def ends_are_plain(self) -> bool:
        """Whether guests end with their answer, and hold no lock or port of the host's."""
        shares = bool(self.policy.files) or isinstance(self.policy.network, FullNetwork)
        return not (self.is_for_sessions or self.is_watched or shares)


class Zygote:
    """One warm interpreter inside the guests' file system; clones a guest per request."""

    def __init__(self, plan: ZygotePlan) -> None:
        """Plan it. start() starts it."""
        self.plan = plan
        hierarchies = find_hierarchies() if plan.use_control_groups else ()
        self._serial = next(_serials)
        self.group = ZygoteGroup(hierarchies, owner_name(), self._serial) if hierarchies else None
        self._control, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._errors = os.memfd_create("keeper", os.MFD_CLOEXEC)
        self._lifeline = -1
        self._keeper: subprocess.Popen[bytes] | None = None
        self.cpus = usable_processors(plan.policy)
        self.shares = Shares(self.cpus)
        self._sending = anyio.Lock(fast_acquire=True)
        self.is_usable = True
        _alive.add(self)

    async def start(self) -> None:
        """Start it and wait until it is warm. Raises EngineFault, CannotEnforce; leaves nothing."""
        try:
            self._launch_keeper()
            view = plan_view(
                self.plan.policy,
                self.plan.interpreter,
                is_counted=self.group is not None,
                is_for_sessions=self.plan.is_for_sessions,
            )
            await self._send(self._keeper_message(view))
            if self.group:  # only now: the keeper, which knows of it, removes it after a crash
                self.group.create()
            await self._send(self._zygote_message(view))
            with anyio.fail_after(START_SECONDS):
                await self._wait_ready()
        except TimeoutError:
            await self.aclose()
            message = f"the zygote was not ready within {START_SECONDS:.0f} s"
            raise EngineFault(message) from None
        except OSError as error:
            await self.aclose()
            message = f"the zygote cannot be started: {error}"
            raise EngineFault(message) from error
        except BaseException:
            await self.aclose()
            raise

    def _launch_keeper(self) -> None:
        descriptor = self._theirs.fileno()
        python = self.plan.interpreter.executable
        label = f"sandbox-engine:{owner_name()}:{self.plan.policy.name or 'policy'}"
        argv = [python, "-I", "-S", str(RUNNERS), "keeper", str(descriptor), label]
        lifeline, self._lifeline = os.pipe2(os.O_CLOEXEC)
        self._keeper = subprocess.Popen(
            argv,
            stdin=lifeline,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            pass_fds=[descriptor],
            env={},
            cwd="/",
            start_new_session=True,  # a Ctrl-C or Ctrl-Z in the host's terminal is not for it
        )
        os.close(lifeline)
        self._theirs.close()

    def _keeper_message(self, view: View) -> dict[str, Any]:
        policy, interpreter = self.plan.policy, self.plan.interpreter
        options = ["-X", f"cpu_count={self.cpus}"] if interpreter.version >= (3, 13) else []
        argv = [interpreter.guest_executable, "-I", "-S", *options, GUEST_RUNNERS, "zygote"]
        return {
            "view": view.steps,
            "argv": argv,
            "user": UNPRIVILEGED_USER,
            "own_network": not isinstance(policy.network, FullNetwork),
            "environment": interpreter.loader_variables()
            | self._own_variables(view)
            | self._variables(view),
            "control_groups": self.group.folders if self.group else [],
        }

    def _variables(self, view: View) -> dict[str, str]:
        """Give the environment of guests."""
        return guest_environment(self.plan.policy, view.variables, self.cpus)

    def _own_variables(self, view: View) -> dict[str, str]:
        """Give what the zygote starts with and takes out of the environment of guests."""
        own = HUGE_PAGES if self.plan.is_for_sessions else {}
        return {name: value for name, value in own.items() if name not in self._variables(view)}

    def _zygote_message(self, view: View) -> dict[str, Any]:
        policy = self.plan.policy
        quota = policy.quota
        scratch = f"size={quota.disk_bytes},nr_inodes={quota.disk_files + 4},mode=755"
        is_counted = self.group is not None
        compile_system_calls = compile_watching_filter if self.plan.is_watched else compile_filter
        return {
            "filter": compile_system_calls(filter_documents(policy, is_counted=is_counted)).hex(),
            "is_watched": self.plan.is_watched,
            "landlock_abi": self.plan.landlock_abi,
            "rights": view.rights,
            "may_execute": not isinstance(policy.programs, NoPrograms),
            "scratch_options": scratch,
            "private_folders": private_folders(is_for_sessions=self.plan.is_for_sessions),
            "limits": process_limits(
                quota, is_counted=is_counted, is_for_sessions=self.plan.is_for_sessions
            ),
            "proc_masks": view.proc_masks,
            "own_network": not isinstance(policy.network, FullNetwork),
            "runners": GUEST_RUNNERS,
            "python_path": view.python_path,
            "own_variables": [*self._own_variables(view)],
            "preload": self.plan.preload,
            "is_for_sessions": self.plan.is_for_sessions,
            "fresh_interpreter": policy.fresh_interpreter,
        }

    async def _send(self, message: dict[str, Any]) -> None:
        encoded = json.dumps(message).encode()
        size = max(len(encoded) * 2, 1 << 18)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        while True:
            try:
                self._control.send(encoded)
            except BlockingIOError:
                await anyio.wait_writable(self._control)
            else:
                return

    async def _wait_ready(self) -> None:
        await anyio.wait_readable(self._control)
        try:
            message = self._control.recv(MOST_MESSAGE_BYTES)
        except ConnectionResetError:  # it went without reading all of ours
            message = b""
        answer: dict[str, Any] = json.loads(message or b"{}")
        if answer.get("ready"):
            return
        reason = answer.get("fault") or self.last_words() or "it ended without a word"
        message_text = f"no guest can be prepared under this policy: {reason}: see 'sandbox doctor'"
        raise CannotEnforce(message_text) if "fault" in answer else EngineFault(message_text)

    def last_words(self) -> str:
        """Give the last line that the keeper or the zygote wrote about its own failure."""
        text = os.pread(self._errors, 20_000, 0).decode(errors="replace").strip()
        return text.splitlines()[-1] if text else ""

    async def request(self, processors: Processors, descriptors: list[int]) -> None:
        """Ask for one guest with these. Raises EngineFault when the zygote is gone."""
        message = struct.pack(f"={len(processors)}H", *processors)
        if not self._sending.locked() and self._try_request(message, descriptors):
            return
        async with self._sending:
            while not self._try_request(message, descriptors):
                await anyio.wait_writable(self._control)

    def _try_request(self, message: bytes, descriptors: list[int]) -> bool:
        """Send a request; False if too many wait already, unix(7)."""
        try:
            socket.send_fds(self._control, [message], descriptors)
        except BlockingIOError:
            return False
        except OSError as error:
            self.is_usable = False
            message_text = f"the zygote has ended: {self.last_words() or error}"
            raise EngineFault(message_text) from error
        return True

    def let_go(self) -> None:
        """Close what keeps the zygote alive, without waiting for its end."""
        self.is_usable = False
        self._control.close()
        self._theirs.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    async def aclose(self) -> None:
        """End the zygote and all its guests, and wait until they and their groups are gone."""
        self.is_usable = False
        with anyio.CancelScope(shield=True):
            self.let_go()
            if self._keeper:
                await wait_for_end(self._keeper)
                self._keeper = None
            await self._remove_group()
            if self._errors >= 0:
                os.close(self._errors)
                self._errors = -1

    async def _remove_group(self) -> None:
        """Remove what a killed keeper did not; the last process may still be dying."""
        until = time.monotonic() + END_SECONDS
        while self.group and not self.group.remove():
            if time.monotonic() > until:
                break
            await anyio.sleep(0.01)


async def wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a child of ours without blocking; kill it if it does not go."""
    descriptor = os.pidfd_open(process.pid)
    try:
        with anyio.move_on_after(END_SECONDS) as scope:
            await anyio.wait_readable(descriptor)
        if scope.cancelled_caught:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    process.wait()

"""The subprocess backend: guests cloned from warm zygotes, one zygote per policy."""

import os
import resource
from collections import OrderedDict
from typing import Final, Literal, TypeAlias

import anyio
import psutil

from sandbox.backends.base import (
    BackendSession,
    HostPython,
    OnOutput,
    OnPartial,
    Sighting,
    WatchedSighting,
)
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.leftovers import sweep
from sandbox.backends.parking import WarmZygote
from sandbox.backends.probe import cannot_watch, landlock_abi
from sandbox.backends.view import Interpreter
from sandbox.backends.watched_guest import WatchedGuest
from sandbox.backends.zygote import Zygote, ZygotePlan
from sandbox.call import Call
from sandbox.errors import CannotEnforce
from sandbox.policy import AnyProgram, FullNetwork, Hosts, ListedHostTools, Policy
from sandbox.result import Enforced

__all__ = ["SubprocessBackend"]

Purpose: TypeAlias = Literal["calls", "sessions", "watching"]
"""What the guests of a zygote are for."""

MOST_ZYGOTES: Final = 8
"""How many policies stay warm; the one that was used longest ago makes room."""


class SubprocessBackend:
    """Runs each call in a process of its own namespaces, cloned from a warm interpreter."""

    name = "subprocess"

    def __init__(
        self,
        *,
        preload: tuple[str, ...] = (),
        interpreter: Interpreter | None = None,
        use_control_groups: bool = True,
    ) -> None:
        """Start nothing yet.

        preload: modules imported once, before any call. interpreter: this program's own by
        default. use_control_groups: False watches the tree from outside instead, as is done where
        the host gives none.
        """
        self._preload = preload
        self._interpreter = interpreter or Interpreter.current()
        self._use_control_groups = use_control_groups and bool(find_hierarchies())
        self._zygotes: OrderedDict[tuple[str, Purpose], WarmZygote] = OrderedDict()
        self._starting = anyio.Lock(fast_acquire=True)
        self._enforced: dict[str, Enforced] = {}

    @property
    def python(self) -> HostPython:
        """The interpreter of the guests."""
        return self._interpreter

    async def open(self) -> None:
        """Do nothing: what this host has is known at once."""

    def enforced(self, policy: Policy) -> Enforced:
        """Say what holds each limit here. Raises CannotEnforce, naming what nothing here holds."""
        if policy.fingerprint not in self._enforced:
            self._enforced[policy.fingerprint] = self._find_enforced(policy)
        return self._enforced[policy.fingerprint]

    def _find_enforced(self, policy: Policy) -> Enforced:
        _refuse_what_is_not_here(policy)
        group = f"cgroup{find_hierarchies()[0].version}" if self._use_control_groups else ""
        landlock = "+landlock" if landlock_abi() else ""
        is_full = isinstance(policy.network, FullNetwork)
        return Enforced(
            wall="watchdog",
            cpu=f"{group or 'watchdog'}+rlimit",
            memory=group or "watchdog",
            processes=f"{group}+rlimit" if group else "rlimit",
            output="host",
            disk="tmpfs+rlimit",
            files=f"mount-namespace{landlock}",
            network="none: the host's own network" if is_full else "network-namespace",
            system_calls="seccomp",
            isolation="process",
        )

    async def run(
        self, call: Call, policy: Policy, on_output: OnOutput | None, on_partial: OnPartial | None
    ) -> Sighting:
        """Run one call in a guest of which nothing runs any more when this returns or raises."""
        zygote = await self._zygote(policy)
        async with zygote.guest() as guest:
            await guest.start(call, on_output, on_partial)
            return await guest.finish()

    async def watch(
        self, call: Call, policy: Policy, on_output: OnOutput | None
    ) -> WatchedSighting:
        """Run one call in a guest whose system calls a watcher sees first.

        Raises CannotEnforce where the kernel cannot have it so, EngineFault.
        """
        if reason := cannot_watch():
            _refuse(f"a call cannot be watched: {reason}: see 'sandbox doctor'")
        zygote = await self._zygote(policy, purpose="watching")
        async with zygote.guest() as guest:
            if not isinstance(guest, WatchedGuest):
                message = "a zygote for calls was asked for a watched one"
                raise TypeError(message)
            return await guest.watch(call, on_output)

    async def open_session(self, policy: Policy) -> BackendSession:
        """Start a session in a guest of its own. Raises EngineFault, CannotEnforce."""
        zygote = await self._zygote(policy, purpose="sessions")
        return await zygote.session()

    async def _zygote(self, policy: Policy, *, purpose: Purpose = "calls") -> WarmZygote:
        """Give the warm zygote of a policy; start it if there is none, or none that lives."""
        key = (policy.fingerprint, purpose)
        if (zygote := self._zygotes.get(key)) and zygote.is_usable:
            self._zygotes.move_to_end(key)
            return zygote
        async with self._starting:
            zygote = self._zygotes.get(key)
            if zygote and zygote.is_usable:
                self._zygotes.move_to_end(key)
                return zygote
            if zygote:
                del self._zygotes[key]
                await zygote.aclose()
            return await self._start(key, policy)

    async def _start(self, key: tuple[str, Purpose], policy: Policy) -> WarmZygote:
        sweep()
        await self._make_room()
        plan = ZygotePlan(
            policy=policy,
            interpreter=self._interpreter,
            preload=self._preload,
            use_control_groups=self._use_control_groups,
            landlock_abi=landlock_abi(),
            is_for_sessions=key[1] == "sessions",
            is_watched=key[1] == "watching",
        )
        zygote = WarmZygote(Zygote(plan))
        await zygote.start()
        self._zygotes[key] = zygote
        return zygote

    async def _make_room(self) -> None:
        """End the zygotes used longest ago while there are too many; never one that runs a call."""
        idle = [key for key, zygote in self._zygotes.items() if zygote.is_idle]
        for key in idle[: max(0, len(self._zygotes) - MOST_ZYGOTES + 1)]:
            await self._zygotes.pop(key).aclose()

    async def aclose(self) -> None:
        """End every zygote and what hangs on it."""
        while self._zygotes:
            _, zygote = self._zygotes.popitem()
            await zygote.aclose()


def _refuse_what_is_not_here(policy: Policy) -> None:
    """Raise CannotEnforce for what this backend or this host cannot do as asked."""
    if policy.isolation != "process":
        _refuse(f"isolation {policy.isolation!r} needs a container: use backend='docker'")
    if isinstance(policy.network, Hosts):
        _refuse("network.kind 'hosts' needs an egress proxy, which is not built yet: use 'none'")
    if isinstance(policy.host_tools, ListedHostTools):
        _refuse("host_tools needs a bridge to the host, which is not built yet: use 'none'")
    if not isinstance(policy.programs, AnyProgram) and not landlock_abi():
        _refuse(
            "programs other than 'any' need Landlock, which this kernel lacks: see 'sandbox doctor'"
        )
    if not isinstance(policy.programs, AnyProgram) and policy.fresh_interpreter:
        _refuse("fresh_interpreter starts a program, and programs.kind is not 'any': drop one")
    total = psutil.virtual_memory().total
    if policy.quota.memory_bytes > total:
        _refuse(
            f"quota.memory_bytes {policy.quota.memory_bytes >> 20} MiB is over this host's "
            f"{total >> 20} MiB: lower it"
        )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and policy.quota.open_files > hard:
        _refuse(
            f"quota.open_files {policy.quota.open_files} is over this process's {hard}: lower it"
        )
    for grant in policy.files:
        if not os.path.exists(grant.path):
            _refuse(f"files: {grant.path} is not there: make it or take the grant away")


def _refuse(message: str) -> None:
    raise CannotEnforce(message)

"""The Docker backend: one container for each call, started ahead of time, used once."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from sandbox.backends.base import BackendSession, OnOutput, OnPartial, Sighting, WatchedSighting
from sandbox.backends.container import ContainerCall
from sandbox.backends.container_options import ContainerPlan, Runtime
from sandbox.backends.container_session import ContainerSession
from sandbox.backends.container_start import Container, start_container
from sandbox.backends.container_stock import ContainerStock
from sandbox.backends.container_view import container_message
from sandbox.backends.docker_engine import DeathWatch, DockerEngine, EngineInfo
from sandbox.backends.docker_leftovers import remove_orphans
from sandbox.backends.image_build import image_names
from sandbox.backends.images import Image, find_image, tag_of
from sandbox.call import Call
from sandbox.errors import BadCall, CannotEnforce, EngineFault
from sandbox.policy import FullNetwork, Hosts, InstalledPackages, ListedHostTools, Policy
from sandbox.policy_terms import ISOLATIONS
from sandbox.result import Enforced
from sandbox.wire_container import Hello

__all__ = ["DockerBackend"]

T = TypeVar("T")

DEFAULT_WARM: Final = 2
_REFERENCE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What the containers of one policy are made from."""

    plan: ContainerPlan
    message: dict[str, Any]


class DockerBackend:
    """Runs each call in a container of its own.

    image: "python" or "data", ours, made by `sandbox images build`; or the name of any image in the
    engine. runtime: "runc" or "runsc" (gVisor); what the policy's isolation asks for by default.
    preload: modules that guests find imported. warm: containers that wait for calls, all policies
    together. address: where the engine is, by default where the docker library looks.
    """

    name = "docker"

    def __init__(
        self,
        *,
        image: str = "python",
        runtime: Runtime | None = None,
        preload: tuple[str, ...] = (),
        warm: int = DEFAULT_WARM,
        address: str = "",
    ) -> None:
        """Start nothing yet. Raises BadCall for names that are none."""
        if not _REFERENCE.fullmatch(image):
            message = f"{image!r} is no name of an image: options of the engine cannot be given"
            raise BadCall(message)
        if runtime not in {None, "runc", "runsc"}:
            message = f"there is no runtime {runtime!r}: use 'runc' or 'runsc'"
            raise BadCall(message)
        self._image_name = tag_of(image) if image in image_names() else image
        self._runtime: Runtime | None = runtime
        self._preload = preload
        self._address = address
        self._stock = ContainerStock(warm)
        self._opening = threading.Lock()
        self._engine: DockerEngine | None = None
        self._watch: DeathWatch | None = None
        self._info: EngineInfo | None = None
        self._images: dict[Runtime, Image] = {}
        self._kinds: dict[tuple[str, bool], _Kind] = {}
        self._sessions: set[ContainerSession] = set()
        self._is_closing = False
        self._turns = count()

    @property
    def python(self) -> None:
        """None: it is in the image."""
        return

    async def open(self) -> None:
        """Find the engine, once. Raises EngineFault where there is none."""
        if not self._info:
            await anyio.to_thread.run_sync(self._open)

    def _open(self) -> None:
        with self._opening:
            if self._info:
                return
            engine = DockerEngine(self._address)
            info = engine.info()
            remove_orphans(engine)
            self._watch = DeathWatch(engine.address)
            self._engine, self._info = engine, info

    def enforced(self, policy: Policy) -> Enforced:
        """Say what holds each limit here. Raises CannotEnforce, naming what nothing here holds."""
        info = self._info
        if not info:
            message = "the container engine was not asked yet: open() comes first"
            raise EngineFault(message)
        runtime = self._runtime_for(policy)
        _refuse_what_is_not_here(policy, info, runtime)
        group = f"cgroup{info.cgroup_version}"
        is_gvisor = runtime == "runsc"
        is_full = isinstance(policy.network, FullNetwork)
        return Enforced(
            wall="watchdog",
            cpu="watchdog+rlimit" if is_gvisor else f"{group}+rlimit",
            memory=f"{group}+watchdog" if is_gvisor else group,
            processes="watchdog" if is_gvisor else group,
            output="host",
            disk="tmpfs+rlimit+watchdog",
            files="gvisor" if is_gvisor else "container",
            network="engine: bridge" if is_full else "network-namespace",
            system_calls="gvisor+seccomp" if is_gvisor else "seccomp",
            isolation="gvisor" if is_gvisor else "container",
        )

    def _runtime_for(self, policy: Policy) -> Runtime:
        runtime = self._runtime or ("runsc" if policy.isolation == "gvisor" else "runc")
        offered = "gvisor" if runtime == "runsc" else "container"
        if ISOLATIONS.index(offered) < ISOLATIONS.index(policy.isolation):
            message = (
                f"the policy asks for isolation {policy.isolation!r} and runtime {runtime!r} gives "
                f"{offered!r}: use runtime='runsc'"
            )
            raise CannotEnforce(message)
        return runtime

    async def run(
        self, call: Call, policy: Policy, on_output: OnOutput | None, on_partial: OnPartial | None
    ) -> Sighting:
        """Run one call in a container that no other call had or will have."""
        begun = time.monotonic()
        kind = await self._kind(policy)
        container = await self._take(policy.fingerprint, kind)
        performed = self._take_over(container, partial(ContainerCall, container, policy))
        is_quiet_end = False
        try:
            performed.start(call, on_output, on_partial)
            prepared = time.monotonic() - begun
            said_all = await performed.finish()
            is_quiet_end = said_all and not performed.was_killed
            out_of_memory = not said_all and await self._look_for_death(
                container, performed, kind.plan.runtime
            )
            return performed.sighting(prepared_seconds=prepared, is_out_of_memory=out_of_memory)
        finally:
            performed.give_back()
            await self._remove(container, is_dead=is_quiet_end)
            self._stock.refill(policy.fingerprint, partial(self._start, kind))

    async def _take(self, key: str, kind: _Kind) -> Container:
        return self._stock.take(key) or await self._start_now(kind)

    async def _start_now(self, kind: _Kind) -> Container:
        made: Future[Container] = Future()
        try:
            await anyio.to_thread.run_sync(_fulfil, made, partial(self._start, kind))
        except BaseException:  # asyncio's own cancel does not wait for the thread
            made.add_done_callback(self._discard)
            raise
        return made.result()

    def _take_over(self, container: Container, make: Callable[[], T]) -> T:
        """Make what sees a container through; leave none where this host is out of descriptors."""
        try:
            return make()
        except OSError as fault:
            self._stock.submit(container.discard)
            message = f"a container cannot be listened to: {fault}"
            raise EngineFault(message) from fault

    def _discard(self, made: Future[Container]) -> None:
        """Have a container removed that nobody waits for any more."""
        if not made.exception():
            self._stock.submit(made.result().discard)

    def _start(self, kind: _Kind) -> Container:
        assert self._engine and self._watch  # noqa: S101, PT018 - run() opened both
        self._watch.renew()
        message = kind.message | {"turn": next(self._turns)}
        return start_container(self._engine, kind.plan, message)

    async def _look_for_death(
        self, container: Container, performed: ContainerCall, runtime: Runtime
    ) -> bool:
        """Say whether the kernel killed PID 1 for memory. Raises EngineFault for another killer."""
        assert self._watch  # noqa: S101 - ditto
        death = await anyio.to_thread.run_sync(self._watch.wait_for, container.id)
        if performed.was_killed or death.was_out_of_memory:
            return death.was_out_of_memory
        if runtime == "runsc" and death.is_seen and not death.was_asked_for:
            return False  # a guest can have its own kernel run out of threads: that is its fate
        message = (
            "a container ended in mid-call: "
            + (container.reader.last_words or "killed from outside")
            if death.is_seen
            else "the container engine went away in mid-call: is it still running?"
        )
        raise EngineFault(message, started="yes")

    async def _remove(self, container: Container, *, is_dead: bool) -> None:
        """Have it removed: in the background when all its processes are known to be dead."""
        remove = partial(container.engine.remove, container.id)
        if is_dead:
            self._stock.submit(remove)
            return
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._stock.run_quietly, remove)

    async def _kind(self, policy: Policy, *, is_for_sessions: bool = False) -> _Kind:
        key = (policy.fingerprint, is_for_sessions)
        if key not in self._kinds:
            make = partial(self._make_kind, policy, is_for_sessions=is_for_sessions)
            self._kinds[key] = await anyio.to_thread.run_sync(make)
        return self._kinds[key]

    def _make_kind(self, policy: Policy, *, is_for_sessions: bool) -> _Kind:
        assert self._engine  # noqa: S101 - ditto
        runtime = self._runtime_for(policy)
        with self._opening:
            image = self._images.get(runtime) or find_image(
                self._engine, self._image_name, partial(self._try_out, runtime)
            )
            self._images[runtime] = image
        return self._kind_of(policy, image, runtime, is_for_sessions=is_for_sessions)

    def _kind_of(
        self, policy: Policy, image: Image, runtime: Runtime, *, is_for_sessions: bool = False
    ) -> _Kind:
        assert self._engine and self._info  # noqa: S101, PT018 - ditto
        may_import = isinstance(policy.packages, InstalledPackages)
        plan = ContainerPlan(
            policy=policy,
            image=image.id,
            command=image.command,
            runtime=runtime,
            processors=self._info.processors,
            hidden=() if may_import else image.packages,
            volumes=image.volumes,
            engine_socket=self._engine.socket_path,
        )
        counts_sockets = self._info.cgroup_version != "1"
        message = container_message(
            plan,
            image,
            self._preload,
            counts_sockets=counts_sockets,
            is_for_sessions=is_for_sessions,
        )
        return _Kind(plan=plan, message=message)

    def _try_out(self, runtime: Runtime, tag: str, command: tuple[str, ...]) -> Hello | None:
        """Start a container of an image that is being made, to see whether its Python runs."""
        assert self._engine  # noqa: S101 - ditto
        policy = Policy.load("strict")
        image = Image(id=tag, command=command, packages=(), path="")
        kind = self._kind_of(policy, image, runtime)
        try:
            container = start_container(self._engine, kind.plan, kind.message | {"turn": 0})
        except EngineFault:
            return None
        container.discard()
        return container.hello

    async def watch(
        self, call: Call, policy: Policy, on_output: OnOutput | None
    ) -> WatchedSighting:
        """Raise CannotEnforce: the kernel can be asked only about processes beside it."""
        del call, policy, on_output
        message = "a call in a container cannot be watched: use backend='subprocess'"
        raise CannotEnforce(message)

    async def open_session(self, policy: Policy) -> BackendSession:
        """Start a session in a container of its own. Raises EngineFault, CannotEnforce."""
        kind = await self._kind(policy, is_for_sessions=True)
        key = f"{policy.fingerprint} for sessions"
        container = await self._take(key, kind)
        runtime = kind.plan.runtime

        async def look_for_death(session: ContainerSession) -> bool:
            return await self._look_for_death(container, session, runtime)

        async def let_go(session: ContainerSession) -> None:
            self._sessions.discard(session)
            await self._remove(container, is_dead=False)
            if not self._is_closing:
                self._stock.refill(key, partial(self._start, kind))

        make = partial(ContainerSession, container, policy, look_for_death, let_go)
        session = self._take_over(container, make)
        self._sessions.add(session)
        return session

    async def aclose(self) -> None:
        """End the sessions, discard every container that waits, and wait until all are gone."""
        self._is_closing = True
        with anyio.CancelScope(shield=True):
            while self._sessions:
                await self._sessions.pop().close()
            await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._stock.close()
        if self._watch:
            self._watch.close()
        if self._engine:
            self._engine.close()
        self._engine = self._info = self._watch = None


def _fulfil(made: Future[Container], start: Callable[[], Container]) -> None:
    """Start one and say so to whoever waits for it, or gave up."""
    try:
        made.set_result(start())
    except BaseException as fault:
        made.set_exception(fault)
        raise


def _refuse_what_is_not_here(policy: Policy, info: EngineInfo, runtime: Runtime) -> None:
    """Raise CannotEnforce for what this backend or this engine cannot do as asked."""
    if isinstance(policy.network, Hosts):
        _refuse("network.kind 'hosts' needs an egress proxy, which is not built yet: use 'none'")
    if isinstance(policy.host_tools, ListedHostTools):
        _refuse("host_tools needs a bridge to the host, which is not built yet: use 'none'")
    if runtime not in info.runtimes:
        _refuse(f"the container engine has no runtime {runtime!r}: see 'sandbox doctor'")
    if not info.counts_memory:
        _refuse("the container engine cannot limit memory here: see 'sandbox doctor'")
    if not info.counts_processes:
        _refuse("the container engine cannot limit processes here: see 'sandbox doctor'")


def _refuse(message: str) -> None:
    raise CannotEnforce(message)

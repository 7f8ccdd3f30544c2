"""Sandboxes for tests: one per policy and mechanism, kept warm while tests use it."""

import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from typing import NoReturn

import pytest
from hypothesis import settings

from sandbox import Policy, Sandbox, SandboxError
from sandbox.backends import parking
from sandbox.backends.base import Backend
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine, EngineInfo
from sandbox.backends.images import tag_of
from sandbox.backends.subprocess import SubprocessBackend

MOST_WARM = 6
parking.IDLE_SECONDS = 3600.0  # what a sandbox keeps ready does not go while tests count it

settings.register_profile("sandbox", database=None)  # the suite may lie where nobody can write
settings.load_profile("sandbox")

REQUIRED = frozenset(filter(None, os.environ.get("SANDBOX_REQUIRE", "").split(",")))
"""What must not be missing here: "cgroup", "docker" and "gvisor" in the job that runs as root;
"browser" where Chromium is there, for the page of a review."""

ONLY = frozenset(filter(None, os.environ.get("SANDBOX_ONLY", "").split(",")))
"""These mechanisms alone: CI tests the others in other jobs."""

NO_PROCESSES = pytest.mark.skip(reason="calls in containers cannot be watched")

COUNTING = frozenset({"cgroup", "docker"})
"""Where a control group counts the tree: its refusals are certain."""

SandboxFor = Callable[..., Sandbox]


@cache
def engine_info() -> EngineInfo | str:
    """Ask the container engine what it is; the reason why not, where none answers."""
    try:
        with closing(DockerEngine()) as engine:
            engine.image(tag_of("python"))
            return engine.info()
    except SandboxError as fault:
        return str(fault)


def mechanisms() -> list[str]:
    """Give the ways in which a call is held on this host: each guarantee is tested on each."""
    found = ["cgroup"] if find_hierarchies() else []
    found.append("watchdog")
    info = engine_info()
    if isinstance(info, EngineInfo):
        found += ["docker", *(["gvisor"] if "runsc" in info.runtimes else [])]
    missing = (REQUIRED & {"cgroup", "docker", "gvisor"}) - set(found)
    if missing:
        names = ", ".join(sorted(missing))
        pytest.exit(f"SANDBOX_REQUIRE names {names}, not here: engine: {info}", returncode=3)
    return [name for name in found if not ONLY or name in ONLY]


def lacking(what: str, remedy: str) -> NoReturn:
    """Leave a test out for want of a tool; where CI requires "tools", fail."""
    leave_out = pytest.fail if "tools" in REQUIRED else pytest.skip
    leave_out(f"no {what} here: {remedy}")


def pytest_report_header() -> str:
    """Say plainly what is tested and what is left out."""
    info = engine_info()
    left_out = f"; no container engine: {info}" if isinstance(info, str) else ""
    return f"sandbox: guests held by {', '.join(mechanisms())}{left_out}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take tests out where their marker says that a mechanism differs, and why."""
    out = [item for item in items if _differs(item)]
    items[:] = [item for item in items if item not in set(out)]
    config.hook.pytest_deselected(items=out)


def pytest_collection_finish() -> None:
    """Have the collector leave out what ten thousand tests are made of: tests collect often."""
    gc.collect()
    gc.freeze()


def _differs(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    mechanism = item.callspec.params.get("warm") or item.callspec.params.get("reviewer")
    return any(mechanism in marker.args for marker in item.iter_markers("differs"))


def backend_of(mechanism: str) -> Backend:
    """Make a backend whose guests are held by one mechanism."""
    match mechanism:
        case "docker":
            return DockerBackend()
        case "gvisor":
            return DockerBackend(runtime="runsc")
        case _:
            return SubprocessBackend(use_control_groups=mechanism == "cgroup")


class Warm:
    """The sandboxes of one mechanism, the least used one closed when there are too many."""

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._kept: OrderedDict[str, Sandbox] = OrderedDict()

    def sandbox(self, policy: Policy | None = None, **changes: object) -> Sandbox:
        base = policy or Policy.load("strict")
        wanted = base.widen("a test", **changes) if changes else base
        if wanted.fingerprint not in self._kept:
            self._kept[wanted.fingerprint] = Sandbox(wanted, backend=backend_of(self.mechanism))
        self._kept.move_to_end(wanted.fingerprint)
        if len(self._kept) > MOST_WARM:
            self._kept.popitem(last=False)[1].close()
        return self._kept[wanted.fingerprint]

    def close(self) -> None:
        for sandbox in self._kept.values():
            sandbox.close()


@pytest.fixture(scope="session", params=mechanisms())
def warm(request: pytest.FixtureRequest) -> Iterator[Warm]:
    """Sandboxes whose calls are held by one mechanism."""
    kept = Warm(request.param)
    yield kept
    kept.close()


@pytest.fixture
def mechanism(warm: Warm) -> str:
    """What holds the calls: cgroup, watchdog, docker or gvisor."""
    return warm.mechanism


@pytest.fixture
def sandbox_for(warm: Warm) -> SandboxFor:
    """Give a sandbox for "strict" with changes: sandbox_for(wall_seconds=1, memory_bytes=...)."""
    return warm.sandbox


@pytest.fixture
def box(warm: Warm) -> Sandbox:
    """A sandbox under the policy "strict"."""
    return warm.sandbox()

"""Sandboxes for tests: one per policy and mechanism, kept warm while tests use it."""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator

import pytest

from sandbox import Policy, Sandbox
from sandbox.backends.cgroups import find_hierarchies
from sandbox.backends.subprocess import SubprocessBackend

MOST_WARM = 6

REQUIRED = frozenset(filter(None, os.environ.get("SANDBOX_REQUIRE", "").split(",")))
"""What must not be missing here: "cgroup" in the job that runs as root."""

ONLY = os.environ.get("SANDBOX_ONLY", "")
"""One mechanism alone: CI tests the other in the job of the other user."""

SandboxFor = Callable[..., Sandbox]


def mechanisms() -> list[str]:
    """Give the ways in which a tree is held on this host: each guarantee is tested on each."""
    found = ["cgroup"] if find_hierarchies() else []
    if "cgroup" in REQUIRED and not found:
        pytest.exit("SANDBOX_REQUIRE names cgroup, and this host gives none", returncode=3)
    return [name for name in (*found, "watchdog") if not ONLY or name == ONLY]


class Warm:
    """The sandboxes of one mechanism, the least used one closed when there are too many."""

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._kept: OrderedDict[str, Sandbox] = OrderedDict()

    def sandbox(self, policy: Policy | None = None, **changes: object) -> Sandbox:
        base = policy or Policy.load("strict")
        wanted = base.widen("a test", **changes) if changes else base
        if wanted.fingerprint not in self._kept:
            backend = SubprocessBackend(use_control_groups=self.mechanism == "cgroup")
            self._kept[wanted.fingerprint] = Sandbox(wanted, backend=backend)
        self._kept.move_to_end(wanted.fingerprint)
        if len(self._kept) > MOST_WARM:
            self._kept.popitem(last=False)[1].close()
        return self._kept[wanted.fingerprint]

    def close(self) -> None:
        for sandbox in self._kept.values():
            sandbox.close()


@pytest.fixture(scope="session", params=mechanisms())
def warm(request: pytest.FixtureRequest) -> Iterator[Warm]:
    """Sandboxes whose trees are held by one mechanism."""
    kept = Warm(request.param)
    yield kept
    kept.close()


@pytest.fixture
def mechanism(warm: Warm) -> str:
    """What holds the trees: cgroup or watchdog."""
    return warm.mechanism


@pytest.fixture
def sandbox_for(warm: Warm) -> SandboxFor:
    """Give a sandbox for "strict" with changes: sandbox_for(wall_seconds=1, memory_bytes=...)."""
    return warm.sandbox


@pytest.fixture
def box(warm: Warm) -> Sandbox:
    """A sandbox under the policy "strict"."""
    return warm.sandbox()

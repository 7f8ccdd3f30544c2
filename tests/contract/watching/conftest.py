"""Calls that are watched: one sandbox for each way in which processes are held."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox import Policy, Sandbox, Source
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.call import Call, Command
from sandbox.engine import WatchedResult
from tests.conftest import NO_PROCESSES, mechanisms

PROCESSES: list[Any] = [name for name in mechanisms() if name in {"cgroup", "watchdog"}]
"""A container's guests cannot be watched; that it says so is tested with the docker backend."""

Watch = Callable[..., WatchedResult]


@pytest.fixture(scope="session", params=PROCESSES or [pytest.param("", marks=NO_PROCESSES)])
def reviewer(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox under the policy "review"."""
    backend = SubprocessBackend(use_control_groups=request.param == "cgroup")
    with Sandbox(Policy.load("review"), backend=backend) as box:
        yield box


@pytest.fixture
def watch(reviewer: Sandbox) -> Watch:
    """Watch Python source, or a command given as a list of words."""

    def watched(what: str | list[str], **more: bytes) -> WatchedResult:
        files = {name.replace("__", "."): content for name, content in more.items()}
        call: Call = (
            Source(source=what, files=files)
            if isinstance(what, str)
            else Command(argv=what, files=files)
        )
        return reviewer.watch(call)

    return watched

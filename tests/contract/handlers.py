"""Calls of handlers for tests: a function of the test, with what its guest gives it."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from sandbox import Policy, Sandbox
from sandbox.call import Handler
from sandbox.functions import handler_call
from sandbox.wire import Json, LeftOpen, ResourceNote
from tests.conftest import SandboxFor

__all__ = [
    "GRACE_SECONDS",
    "NO_CONTEXT",
    "WALL_SECONDS",
    "box_with_grace",
    "handler",
    "left_open",
    "sleeps",
    "states",
    "swallows",
]

WALL_SECONDS, GRACE_SECONDS = 0.5, 1.0

NO_CONTEXT: Mapping[str, Json] = {}


def handler(
    function: Callable[..., Any],
    *arguments: object,
    policy: Policy | None = None,
    given: Mapping[str, Json] = NO_CONTEXT,
    wall_seconds: float | None = None,
    **injected: Any,
) -> Handler:
    """Make a call: arguments of the handler, and by name what is injected. given: its context."""
    return handler_call(
        function,
        arguments,
        {},
        injected=injected,
        context=given,
        policy=policy or Policy.load("strict"),
        wall_seconds=wall_seconds,
    )


def states(notes: tuple[object, ...]) -> list[tuple[str, str]]:
    """Give each thing that was said of a resource: its name and state."""
    return [(note.resource, note.state) for note in notes if isinstance(note, ResourceNote)]


def left_open(notes: tuple[object, ...]) -> dict[str, int]:
    """Give what a handler left open, without what it did not."""
    counts: dict[str, int] = {}
    for note in notes:
        if isinstance(note, LeftOpen):
            counts |= {name: count for name, count in vars(note).items() if count}
    return counts


def box_with_grace(sandbox_for: SandboxFor, **changes: object) -> Sandbox:
    """Give a sandbox whose handlers are cancelled, and then have a while to unwind."""
    times = {"wall_seconds": WALL_SECONDS, "grace_seconds": GRACE_SECONDS, "cpu_seconds": 30}
    return sandbox_for(**times, **changes)


def sleeps(*, till: object) -> None:
    """Do nothing for longer than any deadline."""
    del till
    time.sleep(60)


def swallows(*, till: object) -> None:
    """End for nobody."""
    while till:
        with contextlib.suppress(BaseException):
            time.sleep(60)

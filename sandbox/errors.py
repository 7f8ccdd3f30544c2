"""What the engine raises when it could not do its own work. The guest's fate is a Result."""

from typing import Literal

__all__ = [
    "BadCall",
    "BadPolicy",
    "BudgetSpent",
    "CannotEnforce",
    "EngineFault",
    "QueueFull",
    "SandboxError",
    "SessionLost",
    "Started",
]

Started = Literal["no", "yes", "unknown"]
"""Whether any code of the call had begun to run when the engine failed."""


class SandboxError(Exception):
    """The engine could not do its work; says what happened, to what, and what to do.

    started: "no" when no code of the call ran, "yes" when it ran, "unknown" when the engine
    cannot tell. A call may be repeated safely only after "no".
    """

    started: Started

    def __init__(self, message: str, *, started: Started = "no") -> None:
        """Say what happened in one line."""
        super().__init__(message)
        self.started = started


class BadPolicy(SandboxError):
    """A policy document that cannot be read or that contradicts itself."""


class BadCall(SandboxError):
    """A call that cannot be sent: a source with a NUL, an argument that is not JSON, a bad name."""


class CannotEnforce(SandboxError):
    """The policy asks for a limit or a wall that this host cannot put up. Nothing was started."""


class EngineFault(SandboxError):
    """A process of the engine failed: a zygote that does not start, dies, or runs out of files."""


class SessionLost(SandboxError):
    """The session has ended: it was closed, its time was up, or a turn took it along."""


class QueueFull(SandboxError):
    """Too many calls wait already. This one was not started: try it again later.

    A full queue takes a call of a tenant that has few waiting; then the newest of the tenant that
    has most is raised this, while it waits.
    """


class BudgetSpent(SandboxError):
    """The tenant of the call has spent its budget. The call was not started."""

"""Run untrusted Python, functions and commands under a policy, with an honest verdict."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.batch import Done
    from sandbox.box import AsyncSandbox, Sandbox
    from sandbox.call import Command, Function, Source
    from sandbox.errors import (
        BadCall,
        BadPolicy,
        BudgetSpent,
        CannotEnforce,
        EngineFault,
        QueueFull,
        SandboxError,
        SessionLost,
    )
    from sandbox.executors.futures import SandboxExecutor
    from sandbox.policy import (
        Environment,
        FileGrant,
        FullNetwork,
        InstalledPackages,
        NoNetwork,
        Policy,
        Quota,
    )
    from sandbox.result import CallFailed, Result
    from sandbox.session import AsyncSession, AsyncSnapshot, Session, Snapshot
    from sandbox.tenants import Budget, Spent
    from sandbox.tools.answered import Answered, Called
    from sandbox.tools.audit import AuditLog
    from sandbox.tools.automatic import Reply, run_automatic, run_automatic_sync
    from sandbox.tools.context import Cancelled, Context, Progress, Resource
    from sandbox.tools.declare import from_callable
    from sandbox.tools.hooks import Asked, Ended, Hook
    from sandbox.tools.telemetry import Telemetry
    from sandbox.tools.tool import Tool
    from sandbox.tools.toolset import Toolset
    from sandbox.wire import Data, File, Image, Text

__all__ = [
    "Answered",
    "Asked",
    "AsyncSandbox",
    "AsyncSession",
    "AsyncSnapshot",
    "AuditLog",
    "BadCall",
    "BadPolicy",
    "Budget",
    "BudgetSpent",
    "CallFailed",
    "Called",
    "Cancelled",
    "CannotEnforce",
    "Command",
    "Context",
    "Data",
    "Done",
    "Ended",
    "EngineFault",
    "Environment",
    "File",
    "FileGrant",
    "FullNetwork",
    "Function",
    "Hook",
    "Image",
    "InstalledPackages",
    "NoNetwork",
    "Policy",
    "Progress",
    "QueueFull",
    "Quota",
    "Reply",
    "Resource",
    "Result",
    "Sandbox",
    "SandboxError",
    "SandboxExecutor",
    "Session",
    "SessionLost",
    "Snapshot",
    "Source",
    "Spent",
    "Telemetry",
    "Text",
    "Tool",
    "Toolset",
    "from_callable",
    "run_automatic",
    "run_automatic_sync",
]

_HOME = {
    "batch": ("Done",),
    "box": ("AsyncSandbox", "Sandbox"),
    "call": ("Command", "Function", "Source"),
    "errors": (
        *("BadCall", "BadPolicy", "BudgetSpent", "CannotEnforce"),
        *("EngineFault", "QueueFull", "SandboxError", "SessionLost"),
    ),
    "executors.futures": ("SandboxExecutor",),
    "policy": (
        *("Environment", "FileGrant", "FullNetwork", "InstalledPackages", "NoNetwork"),
        *("Policy", "Quota"),
    ),
    "result": ("CallFailed", "Result"),
    "session": ("AsyncSession", "AsyncSnapshot", "Session", "Snapshot"),
    "tenants": ("Budget", "Spent"),
    "tools.answered": ("Answered", "Called"),
    "tools.audit": ("AuditLog",),
    "tools.automatic": ("Reply", "run_automatic", "run_automatic_sync"),
    "tools.context": ("Cancelled", "Context", "Progress", "Resource"),
    "tools.declare": ("from_callable",),
    "tools.hooks": ("Asked", "Ended", "Hook"),
    "tools.telemetry": ("Telemetry",),
    "tools.tool": ("Tool",),
    "tools.toolset": ("Toolset",),
    "wire": ("Data", "File", "Image", "Text"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that importing this costs little."""
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"sandbox.{module}"), name)
    message = f"module 'sandbox' has no attribute {name!r}"
    raise AttributeError(message)

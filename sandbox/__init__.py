"""Run untrusted Python, functions and commands under a policy, with an honest verdict."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.box import AsyncSandbox, Sandbox
    from sandbox.call import Command, Function, Source
    from sandbox.errors import BadCall, BadPolicy, CannotEnforce, EngineFault, SandboxError
    from sandbox.policy import Policy, Quota
    from sandbox.result import CallFailed, Result

__all__ = [
    "AsyncSandbox",
    "BadCall",
    "BadPolicy",
    "CallFailed",
    "CannotEnforce",
    "Command",
    "EngineFault",
    "Function",
    "Policy",
    "Quota",
    "Result",
    "Sandbox",
    "SandboxError",
    "Source",
]

_HOME = {
    "box": ("AsyncSandbox", "Sandbox"),
    "call": ("Command", "Function", "Source"),
    "errors": ("BadCall", "BadPolicy", "CannotEnforce", "EngineFault", "SandboxError"),
    "policy": ("Policy", "Quota"),
    "result": ("CallFailed", "Result"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that importing this costs little."""
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"sandbox.{module}"), name)
    message = f"module 'sandbox' has no attribute {name!r}"
    raise AttributeError(message)

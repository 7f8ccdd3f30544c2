"""Makes a call from a Python function: by import where the guest can, by value where not."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cloudpickle

from sandbox.call import Function
from sandbox.errors import BadCall
from sandbox.policy import InstalledPackages, Policy

__all__ = ["function_call"]

_cloudpickle: Any = cloudpickle  # it has no types

FOLDERS_OF_PACKAGES = ("site-packages", "dist-packages")


def function_call(
    function: str | Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    policy: Policy,
) -> Function:
    """Describe a call of "module:name" or of a callable.

    Raises BadCall for a name that is none, arguments that are not JSON, or a function that cannot
    be sent: one that holds a lock, an open file, or anything else that lives in this process.
    """
    if isinstance(function, str):
        return Function(name=function, arguments=arguments, keywords=keywords)
    if not callable(function):
        message = f"{function!r} is no function: give one, or its name as 'module:function'"
        raise BadCall(message)
    name = f"{_module_of(function)}:{getattr(function, '__qualname__', '')}"
    if _guest_can_import(function, policy):
        return Function(name=name, arguments=arguments, keywords=keywords)
    pickled = _pickle(function, name)
    return Function(name=name, arguments=arguments, keywords=keywords, pickled=pickled)


def _guest_can_import(function: Callable[..., Any], policy: Policy) -> bool:
    """Say whether the guest finds the very same function under its name."""
    path = getattr(function, "__qualname__", "")
    found: Any = sys.modules.get(_module_of(function))
    module_file: str = getattr(found, "__file__", None) or ""
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is not function:
        return False
    package = _module_of(function).partition(".")[0]
    if package in sys.stdlib_module_names:
        return package != "__main__"
    is_installed: bool = any(f"/{folder}/" in module_file for folder in FOLDERS_OF_PACKAGES)
    return is_installed and isinstance(policy.packages, InstalledPackages)


def _module_of(function: Any) -> str:
    """Give the module that a callable says it is of; "" where it says none."""
    return getattr(function, "__module__", None) or ""


def _pickle(function: Callable[..., Any], name: str) -> bytes:
    """Pickle a function with its code, from here to the guest; never the other way."""
    package = sys.modules.get(_module_of(function).partition(".")[0])
    # The module is of the user's and not in the guest, so what the function uses of it goes along.
    is_registered = package is not None and package.__name__ not in sys.stdlib_module_names
    if is_registered:
        _cloudpickle.register_pickle_by_value(package)
    try:
        return bytes(_cloudpickle.dumps(function))
    except Exception as error:
        message = f"the function {name} cannot be sent: {error}: pass what it needs as arguments"
        raise BadCall(message) from error
    finally:
        if is_registered:
            _cloudpickle.unregister_pickle_by_value(package)

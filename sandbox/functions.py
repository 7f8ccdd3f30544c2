"""Makes a call from a Python function: by import where the guest can, by value where not."""

import io
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final, Literal, Protocol, TypeVar

import cloudpickle

from sandbox.call import Function, Handler
from sandbox.call import Injected as Kind
from sandbox.errors import BadCall
from sandbox.policy import InstalledPackages, Policy
from sandbox.wire import Json

__all__ = ["Factory", "function_call", "handler_call"]

_cloudpickle: Any = cloudpickle  # it has no types

FOLDERS_OF_PACKAGES = ("site-packages", "dist-packages")
NAMELESS_FILE: Final = "<dynamic-code>"
OF_GUESTS: Final = frozenset(
    {"Cancelled", "Context", "Data", "File", "Image", "Progress", "Resource", "Text"}
)
"""What of this package a guest has too; runners/given.py."""


class Factory(Protocol):
    """A resource of a handler: what opens it in the guest, and the name in its notes."""

    @property
    def factory(self) -> Callable[[], Any]:
        """Called without arguments."""
        ...

    @property
    def name(self) -> str:
        """Said in the notes."""
        ...


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
    name = _name_of(function)
    if _guest_can_import(function, policy):
        return Function(name=name, arguments=arguments, keywords=keywords)
    pickled = _pickle(function, name, policy)
    return Function(name=name, arguments=arguments, keywords=keywords, pickled=pickled)


def handler_call(  # noqa: PLR0913 - by keyword, and one place calls it
    function: Callable[..., Any],
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
    *,
    injected: Mapping[str, Literal["context", "progress"] | Factory],
    context: Mapping[str, Json],
    policy: Policy,
    wall_seconds: float | None = None,
) -> Handler:
    """Describe a call of a handler with Python values, and what the guest gives besides them.

    injected: parameter to "context", "progress" or a Resource. context: see Handler. Raises
    BadCall for what cannot be sent, or for what a guest does not have.
    """
    kinds: dict[str, Kind] = {
        parameter: wanted if isinstance(wanted, str) else "resource"
        for parameter, wanted in injected.items()
    }
    factories = {
        parameter: (wanted.factory, wanted.name)
        for parameter, wanted in injected.items()
        if not isinstance(wanted, str)
    }
    name = _name_of(function)
    sent = (_without_annotations(function, policy), tuple(arguments), dict(keywords), factories)
    pickled = _pickle(sent, name, policy)
    return Handler(
        name=name, pickled=pickled, injected=kinds, context=context, wall_seconds=wall_seconds
    )


def _without_annotations(function: Any, policy: Policy) -> Any:
    """Leave away what the host has read already: a guest may lack, or wait for, its imports."""
    if not isinstance(function, types.FunctionType) or _guest_can_import(function, policy):
        return function
    bare: Any
    code, closure = function.__code__, function.__closure__
    bare = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    bare.__kwdefaults__ = function.__kwdefaults__
    bare.__qualname__, bare.__module__ = function.__qualname__, function.__module__
    return bare


def _guest_can_import(function: Callable[..., Any], policy: Policy) -> bool:
    """Say whether the guest finds the very same function under its name."""
    return _found(function) is function and _guest_has(_module_of(function), policy)


def _found(function: Any) -> Any:
    """Look a function up where it says it is."""
    found: Any = sys.modules.get(_module_of(function))
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


def _guest_has(name: str, policy: Policy) -> bool:
    """Say whether the guest can import a module."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return name != "__main__"
    module = sys.modules.get(name)
    return bool(module and _is_installed(module) and isinstance(policy.packages, InstalledPackages))


def _is_installed(module: types.ModuleType) -> bool:
    file: str = getattr(module, "__file__", None) or ""
    return any(f"/{folder}/" in file for folder in FOLDERS_OF_PACKAGES)


def _module_of(function: Any) -> str:
    """Give the module that a callable says it is of; "" where it says none."""
    return getattr(function, "__module__", None) or ""


def _name_of(function: Any) -> str:
    return f"{_module_of(function)}:{getattr(function, '__qualname__', '')}"


_pickling: Final = threading.Lock()
"""What cloudpickle sends by value is one list for the whole program."""


def _pickle(sent: object, name: str, policy: Policy) -> bytes:
    """Pickle a function with its code, from here to the guest; never the other way."""
    with _pickling:
        sender = _Sender(policy)
        try:
            return sender.pickle(sent)
        except Exception as error:
            message = (
                f"the function {name} cannot be sent: {error}: pass what it needs as arguments"
            )
            raise BadCall(message) from error
        finally:
            sender.forget()


class _Sender:
    """Pickles by value what the guest cannot import, and no path of this machine with it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._content = io.BytesIO()
        self._considered: set[str] = set()
        self._registered: list[types.ModuleType] = []
        # Not subclassed: it has no types. A pickler looks its own attributes up like methods.
        self._pickler: Any = _cloudpickle.Pickler(self._content)
        self._reduce, self._describe = (
            self._pickler.reducer_override,
            self._pickler._function_getnewargs,  # noqa: SLF001 - the only place of __file__
        )
        self._pickler.reducer_override = self._reduce_considered
        self._pickler._function_getnewargs = self._describe_without_path  # noqa: SLF001 - ditto

    def pickle(self, sent: object) -> bytes:
        self._pickler.dump(sent)
        return self._content.getvalue()

    def forget(self) -> None:
        """Leave cloudpickle as it was."""
        for module in self._registered:
            _cloudpickle.unregister_pickle_by_value(module)
        # They hold this in turn, and what was pickled would live until the next collection.
        del self._pickler, self._reduce, self._describe

    def _reduce_considered(self, sent: Any) -> Any:
        """Decide about each thing that has a module before cloudpickle does."""
        if isinstance(sent, types.CodeType):
            return _reduce_code(sent)
        if isinstance(sent, types.ModuleType):
            self._consider(sent.__name__, "")
        elif isinstance(sent, type | types.FunctionType | TypeVar):
            self._consider(_module_of(sent), getattr(sent, "__qualname__", ""))
        return self._reduce(sent)

    def _consider(self, name: str, inside: str) -> None:
        package = name.partition(".")[0]
        if package == "sandbox" and inside not in OF_GUESTS:
            message = f"it uses {name}.{inside}".rstrip(".") + ", which is not in a guest"
            raise ValueError(message)
        if name in self._considered or package in {"sandbox", "cloudpickle", "__main__"}:
            return
        self._considered.add(name)
        module = sys.modules.get(name)
        if module is None or _guest_has(name, self._policy):
            return
        if name not in _cloudpickle.list_registry_pickle_by_value():
            _cloudpickle.register_pickle_by_value(module)
            self._registered.append(module)

    def _describe_without_path(self, function: Any) -> Any:
        code, names, *rest = self._describe(function)
        names.pop("__path__", None)
        if file := names.get("__file__"):
            names["__file__"] = PurePath(file).name
        return (code, names, *rest)


def _reduce_code(code: types.CodeType) -> Any:
    """Pickle code as if its file lay in the work folder."""
    reduce = _cloudpickle.Pickler.dispatch_table[types.CodeType]
    name = PurePath(code.co_filename).name
    kind, parts = reduce(code.replace(co_filename=name))
    # Since 3.1.3 it leaves the name of the file away, and a traceback would lack it.
    return kind, tuple(name if part == NAMELESS_FILE else part for part in parts)

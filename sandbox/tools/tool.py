"""One tool: a function with its schema, its policy, and who may call it how."""

import importlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypedDict

from sandbox.choices import PolicyLike, as_policy
from sandbox.errors import BadCall, BadPolicy
from sandbox.functions import handler_call
from sandbox.policy import (
    AnyProgram,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    NoHostTools,
    NoNetwork,
    NoPackages,
    NoPrograms,
    Policy,
    Quota,
)
from sandbox.policy_documents import nearest
from sandbox.providers.envelope import Declaration
from sandbox.providers.names import check_name, qualified_name
from sandbox.tools.context import Context
from sandbox.tools.declare import declaration
from sandbox.tools.reviewed import Reviewed
from sandbox.tools.signature import Signature, read_signature

__all__ = ["Enabled", "Tool", "ToolOptions", "Where", "functions_of", "make_tool"]

Where: TypeAlias = Literal["guest", "host"]
_MEANT: Final = {"timeout": "wall_seconds", "timeout_seconds": "wall_seconds"}
"""What other libraries call it, which no spelling brings near."""
Enabled: TypeAlias = bool | Callable[[Context], bool]
"""Whether a tool is there; a function decides for each caller."""


class Changes(TypedDict, total=False):
    """Keys of a policy and its quota, by which a tool's own is wider or narrower; see Policy."""

    network: NoNetwork | Hosts | FullNetwork
    files: Sequence[FileGrant]
    environment: Environment
    programs: AnyProgram | NoPrograms | ListedPrograms
    packages: NoPackages | InstalledPackages
    host_tools: NoHostTools | ListedHostTools
    isolation: Literal["process", "container", "gvisor"]
    fresh_interpreter: bool
    reason: str
    quota: Quota
    wall_seconds: float
    grace_seconds: float
    cpu_seconds: float
    cpus: int
    memory_bytes: int
    processes: int
    open_files: int
    file_bytes: int
    disk_bytes: int
    disk_files: int
    output_bytes: int
    result_bytes: int
    result_depth: int
    returned_files: int
    returned_bytes: int


class Options(TypedDict, total=False):
    """How a tool is registered."""

    name: str
    """What the model calls it. Default: the function's name."""
    description: str
    """What the model is told. Default: the summary of the function's docstring."""
    namespace: str
    """What tools belong together. Default: none."""
    policy: PolicyLike
    """What its calls run under. Default: the toolset's."""
    sequential: bool
    """Calls of one turn run one after the other, in order, with all such tools. Default: False."""
    where: Where
    """"host": inside this program, with its objects, outside any wall. Default: "guest"."""
    permissions: Iterable[str]
    """What the caller's Context must have. Default: nothing."""
    needs_approval: bool
    """Whether somebody is asked before each call. Default: False."""
    idempotency: Literal["call_id"] | None
    """None: a call whose id comes again runs again. Default: "call_id", it never does."""
    enabled: Enabled
    """Default: True."""
    reviewed: Reviewed
    """The baseline of its security review, or its file: another function is refused when it is
    registered. Default: not compared."""


class ToolOptions(Options, Changes, total=False):
    """What Toolset.tool() and Toolset.add() take."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tool:
    """A function that models may call. Made by Toolset.tool() and Toolset.add()."""

    function: Callable[..., Any]
    signature: Signature
    declaration: Declaration
    policy: Policy
    sequential: bool = False
    where: Where = "guest"
    permissions: frozenset[str] = frozenset()
    needs_approval: bool = False
    idempotency: Literal["call_id"] | None = "call_id"
    enabled: Enabled = True

    @property
    def name(self) -> str:
        """Its name with its namespace, joined by two underscores."""
        return qualified_name(self.declaration, "mcp")

    @property
    def is_async(self) -> bool:
        """Whether its handler needs an event loop."""
        handler = inspect.unwrap(self.function)
        return inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)

    def is_enabled(self, context: Context) -> bool:
        """Say whether it is there for this caller."""
        return bool(self.enabled(context)) if callable(self.enabled) else self.enabled

    def missing(self, context: Context) -> frozenset[str]:
        """Give the permissions that this caller lacks."""
        return self.permissions - frozenset(context.permissions)

    def is_usable(self, context: Context) -> bool:
        """Say whether this caller can call it."""
        return not self.missing(context) and self.is_enabled(context)


def make_tool(function: Callable[..., Any], base: Policy, options: ToolOptions) -> Tool:
    """Make a tool of a function. base: its policy, unless the options have another.

    Raises BadCall for a name that some provider refuses, an option that does not fit, or a
    function that cannot be declared, or not be sent to a guest; BadPolicy for a policy or a key
    that does not fit.
    """
    _check(options)
    _check_keys(options)
    signature = read_signature(function)
    declared = declaration(
        signature,
        name=options.get("name", ""),
        description=options.get("description", ""),
        namespace=options.get("namespace", ""),
    )
    check_name(declared.name, namespace=declared.namespace)
    policy, where = _policy(declared.name, base, options), options.get("where", "guest")
    if where == "guest":
        _check_sendable(function, signature, policy)
    return Tool(
        function=function,
        signature=signature,
        declaration=declared,
        policy=policy,
        sequential=options.get("sequential", False),
        where=where,
        permissions=frozenset(options.get("permissions", ())),
        needs_approval=options.get("needs_approval", False),
        idempotency=options.get("idempotency", "call_id"),
        enabled=options.get("enabled", True),
    )


def _policy(name: str, base: Policy, options: ToolOptions) -> Policy:
    """Give a tool's policy: its own or the toolset's, with the keys changed that it names."""
    policy = as_policy(options["policy"]) if "policy" in options else base
    others = Options.__annotations__.keys()
    changes: dict[str, Any] = {key: term for key, term in options.items() if key not in others}
    if not changes:
        return policy
    reason: str = changes.pop("reason", f"the tool {name} is registered so")
    return policy.widen(reason, **changes)


def _check(options: Options) -> None:
    """Refuse the slips that would be a hole: permissions as one text, a place that is none."""
    if isinstance(options.get("permissions"), str):
        message = "permissions are several texts: write permissions={'pay'}"
        raise BadCall(message)
    if options.get("where", "guest") not in {"guest", "host"}:
        message = f"a tool runs in the 'guest' or on the 'host', not {options.get('where')!r}"
        raise BadCall(message)
    if options.get("idempotency", "call_id") not in {"call_id", None}:
        message = f"idempotency is 'call_id' or None, not {options.get('idempotency')!r}"
        raise BadCall(message)


def _check_keys(options: ToolOptions) -> None:
    """Refuse what is neither an option nor a key of a policy, and say what was meant."""
    known = Options.__annotations__.keys() | Changes.__annotations__.keys()
    for key in sorted(options.keys() - known):
        hint = f"did you mean {_MEANT[key]}?" if key in _MEANT else nearest(key, known)
        message = f"{key}: no option of a tool and no key of its policy, {hint}"
        raise BadPolicy(message)


def _check_sendable(function: Callable[..., Any], signature: Signature, policy: Policy) -> None:
    """Describe a call, and send it nowhere: a lock that it uses is told before the first call."""
    handler_call(function, (), {}, injected=signature.injected, context={}, policy=policy)


def functions_of(what: object) -> tuple[Callable[..., Any], ...]:
    """Give the functions that something stands for.

    A function or a method: itself. "module:name": what is there, imported. Any other object: its
    public methods. Raises BadCall for what is not there or has none.
    """
    if isinstance(what, str):
        return functions_of(_imported(what))
    if inspect.isroutine(what):
        return (what,)
    if isinstance(what, type):
        message = f"{what.__name__} is a class: give an object of it, or its methods"
        raise BadCall(message)
    found = tuple(
        method
        for name, method in inspect.getmembers(what, inspect.ismethod)
        if not name.startswith("_")
    )
    if not found:
        message = f"{what!r} is no function, and has no public methods"
        raise BadCall(message)
    return found


def _imported(name: str) -> object:
    module, _, path = name.partition(":")
    if not module or not path:
        message = f"{name!r} names no function: write it as 'module:function'"
        raise BadCall(message)
    try:
        found: object = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        message = f"{name!r} cannot be imported: {error}"
        raise BadCall(message) from error
    return found

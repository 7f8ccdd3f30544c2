"""Hooks: what the application's own code sees of each call, before it runs and after its end."""

import copy
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, TypeVar, cast

import anyio

from sandbox.errors import BadCall, EngineFault, Started
from sandbox.providers.envelope import Answer, Provider, ToolCall
from sandbox.result import Result, Status
from sandbox.tools.context import Context
from sandbox.wire import Json

__all__ = ["Asked", "Ended", "Fate", "Hook", "HookFault", "HookLike", "Hooks", "settled"]

_LOG: Final = logging.getLogger(__name__)
MOST_FINISH_SECONDS: Final = 10.0
T = TypeVar("T")

Reason: TypeAlias = str | None
"""Why a call must not run; None lets it."""

Fate: TypeAlias = (
    Status
    | Literal[
        "unknown_tool",
        "disabled",
        "not_permitted",
        "bad_arguments",
        "not_approved",
        "refused",
        "duplicate",
        "fault",
    ]
)
"""How a call ended: the verdict of a run, or why there was none.

refused: by a hook. duplicate: answered from the ledger. fault: of the engine or of a hook.
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One call of a model, as hooks and approvals see it. Changing it changes nothing.

    tool: its registered name with its namespace, or what the model called it if there is none.
    arguments: the model's JSON, or its text where that is not JSON. policy: the fingerprint of what
    the call runs under, "" where nothing would run.
    """

    provider: Provider
    call: ToolCall
    tool: str
    arguments: Mapping[str, Json] | str
    context: Context
    policy: str = ""
    where: Literal["guest", "host"] = "guest"

    def __post_init__(self) -> None:
        """Copy the arguments: a hook must not change what is run, nor what goes into a history."""
        object.__setattr__(self, "arguments", _copied(self.arguments))
        object.__setattr__(self, "call", replace(self.call, arguments=self.arguments))


def _copied(arguments: Mapping[str, Json] | str) -> Mapping[str, Json] | str:
    try:
        return copy.deepcopy(arguments)
    except RecursionError:
        return "[nested too deep]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ended:
    """What became of a call. result: of the guest, None where none ran.

    fault: the engine's, or a hook's. started: whether any code of the tool ran. Times in seconds.
    """

    answer: Answer
    fate: Fate
    result: Result | None = None
    fault: BaseException | None = None
    started: Started = "no"
    queued_seconds: float = 0.0
    ran_seconds: float = 0.0


class Hook:
    """What is told of every call; override any of these, with `def` or `async def`.

    They run in the host, in the event loop of the call: a `def` must be quick. What they are given
    holds the context with its secrets.
    """

    def __str__(self) -> str:
        """Name it, for the log."""
        return type(self).__name__

    def before(self, asked: Asked) -> Reason | Awaitable[Reason]:
        """Look at a call that is about to run. A text refuses it, and is what the model is told.

        Called once all checks are passed. What it raises becomes an answer, and nothing is run.
        """
        del asked
        return None

    def on_error(self, asked: Asked, ended: Ended) -> Awaitable[None] | None:
        """Look at a call whose answer is an error, whoever is to blame; after() comes too."""
        del asked, ended
        return None

    def after(self, asked: Asked, ended: Ended) -> Awaitable[None] | None:
        """Look at the end of a call: once for each, also for those that never started.

        What it raises is logged, and the answer stays. It has ten seconds, also when the call was
        cancelled.
        """
        del asked, ended
        return None


Before: TypeAlias = Callable[[Asked], "Reason | Awaitable[Reason]"]
HookLike: TypeAlias = Hook | Before
"""A hook, or a function that does what Hook.before() does."""


_Finish: TypeAlias = Callable[[Asked, Ended], "Awaitable[None] | None"]


class HookFault(EngineFault):
    """A hook or an approval raised, or gave what it must not. The cause is its own exception."""


class Hooks:
    """The hooks of a toolset, in the order given; those after a call in the opposite order."""

    def __init__(self, hooks: Sequence[HookLike] = ()) -> None:
        """Keep them. Raises BadCall for what is none."""
        self._hooks = tuple(map(_as_hook, hooks))

    async def before(self, asked: Asked) -> Reason:
        """Ask them whether a call may run; give the first reason against it.

        Raises HookFault, and asks no further, when one of them fails: the call must not run.
        """
        for hook in self._hooks:
            reason = await self._ask(hook, asked)
            if reason is not None:
                return reason
        return None

    async def finish(self, asked: Asked, ended: Ended) -> None:
        """Tell all of them the end of a call, each at most ten seconds, cancelled or not.

        A hook that fails is logged, and keeps no other from being told.
        """
        for hook in reversed(self._hooks):
            if ended.answer.is_error:
                await self._tell(hook, hook.on_error, asked, ended)
            await self._tell(hook, hook.after, asked, ended)

    @staticmethod
    async def _ask(hook: Hook, asked: Asked) -> Reason:
        try:
            reason = cast("object", await settled(hook.before(asked)))
        except Exception as error:
            _LOG.exception("a hook failed", extra=_fields(hook, asked))
            message = f"the hook {hook} raised {type(error).__name__}: nothing was run"
            raise HookFault(message) from error
        if reason is None or isinstance(reason, str):
            return reason
        message = f"the hook {hook} gave neither a text nor None: nothing was run"
        raise HookFault(message)

    @staticmethod
    async def _tell(hook: Hook, method: _Finish, asked: Asked, ended: Ended) -> None:
        with anyio.move_on_after(MOST_FINISH_SECONDS, shield=True) as scope:
            try:
                await settled(method(asked, ended))
            except Exception:  # noqa: BLE001 - it is logged, and the call's answer stands
                _LOG.exception("a hook failed", extra=_fields(hook, asked))
        if scope.cancelled_caught:
            _LOG.error("a hook took too long", extra=_fields(hook, asked))


async def settled(given: T | Awaitable[T]) -> T:
    """Give the value of a function that may be `def` or `async def`."""
    if isinstance(given, Awaitable):
        return await cast("Awaitable[T]", given)
    return given


class _Before(Hook):
    """A function as a hook."""

    def __init__(self, function: Before) -> None:
        self._function = function

    def before(self, asked: Asked) -> Reason | Awaitable[Reason]:
        return self._function(asked)

    def __str__(self) -> str:
        return str(getattr(self._function, "__qualname__", self._function))


def _as_hook(hook: HookLike) -> Hook:
    if isinstance(hook, Hook):
        return hook
    if isinstance(hook, type) or not callable(hook):
        message = f"{hook!r} is no hook: give an instance of a subclass of Hook, or a function"
        raise BadCall(message)
    return _Before(hook)


def _fields(hook: Hook, asked: Asked) -> dict[str, str]:
    return {"hook": str(hook), "call": asked.call.id, "tool": asked.tool}

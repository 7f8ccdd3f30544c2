"""What a user holds: a Toolset, whose tools a model may call, and which answers its calls."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar, Unpack, overload

import anyio
import anyio.to_thread

from sandbox.choices import BackendLike, PolicyLike, as_policy
from sandbox.errors import BadCall, EngineFault
from sandbox.loop_thread import LoopThread
from sandbox.policy import Policy
from sandbox.providers import Definitions, encode_definitions, read_turn
from sandbox.providers.envelope import Provider, Turn
from sandbox.tenants import Budget
from sandbox.tools.answered import Answered, Called
from sandbox.tools.approval import Approve
from sandbox.tools.capture import Cutter
from sandbox.tools.catalogue import Catalogue
from sandbox.tools.context import Context
from sandbox.tools.dispatch import Equipment, OneCall, OnProgress, Turning
from sandbox.tools.execution import Settings
from sandbox.tools.homes import Homes
from sandbox.tools.hooks import HookLike, Hooks
from sandbox.tools.ledger import Ledger
from sandbox.tools.reviewed import Reviewed, Reviews
from sandbox.tools.tool import Tool, ToolOptions, functions_of, make_tool
from sandbox.wire import Json

__all__ = ["Toolset"]

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
MEMORY: Final = ":memory:"


class Toolset:
    """Functions that a model may call. Use it as `async with`, or as `with` for the blocking face.

    policy: what calls run under, "tool" by default; a tool may have its own. backend: where guests
    come from; by default "subprocess" or "docker", as the policy's isolation asks. parallel: calls
    that run at once, the others wait in order; four per processor by default. budget: what each
    tool may spend in guests in all, in each event loop; a call over it is answered, not run; by
    default nothing is counted. ledger: where calls
    that ran are kept, so that none runs twice: a file that outlives this program, ":memory:" (the
    default), a Ledger, or None for none; a call is known again by its id, tool, arguments and the
    context's user. hooks: what the application sees of each call. preload:
    modules that guests find imported. most_characters: of the texts of one answer, 20,000 by
    default; what is over is cut in the middle. spill_folder: where the whole of what was cut is
    written too; nowhere by default. reviewed: baselines of security reviews, or their files, by
    the tool's name: a tool whose code is not the reviewed code is refused when it is registered,
    and nothing is declared or answered before every name here has its tool. That is compared once:
    the file of the function's module, as it is on disk then. Not compared are other modules, what
    a program changes in memory, and a file that is changed after it was imported or registered.

    One toolset may serve several event loops, each with guests of its own; what a loop that is over
    has left goes when the next one comes.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own, by keyword
        self,
        policy: PolicyLike = "tool",
        *,
        backend: BackendLike | None = None,
        parallel: int | None = None,
        budget: Budget | None = None,
        ledger: Ledger | str | Path | None = MEMORY,
        hooks: Sequence[HookLike] = (),
        preload: Sequence[str] = (),
        most_characters: int = 20_000,
        spill_folder: str | Path | None = None,
        reviewed: Mapping[str, Reviewed] | None = None,
    ) -> None:
        """Read the policy and the baselines, open the ledger. No guest starts before a call.

        Raises BadPolicy, BadCall, or EngineFault for a ledger that cannot be opened.
        """
        self._policy = as_policy(policy)
        self._reviews = Reviews(reviewed or {})
        self._catalogue = Catalogue()
        self._owned = None if isinstance(ledger, Ledger) or ledger is None else Ledger(ledger)
        self._equipment = Equipment(
            catalogue=self._catalogue,
            hooks=Hooks(hooks),
            ledger=ledger if isinstance(ledger, Ledger) else self._owned,
            cutter=Cutter(
                most_characters=most_characters,
                folder=None if spill_folder is None else Path(spill_folder),
            ),
        )
        places = parallel or 4 * (os.cpu_count() or 1)
        settings = Settings(backend=backend, preload=tuple(preload), parallel=places, budget=budget)
        self._homes = Homes(settings)
        self._loop = LoopThread()
        self._is_closed = False

    @property
    def policy(self) -> Policy:
        """What calls run under whose tool has no policy of its own."""
        return self._policy

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name; one with a namespace is NAMESPACE__NAME."""
        return MappingProxyType({tool.name: tool for tool in self._catalogue})

    # Registering

    @overload
    def tool(self, function: AnyFunction, /) -> AnyFunction: ...

    @overload
    def tool(self, /, **options: Unpack[ToolOptions]) -> Callable[[AnyFunction], AnyFunction]: ...

    def tool(self, function: Any = None, /, **options: Unpack[ToolOptions]) -> Any:
        """Register a function, as a decorator: `@tools.tool` or `@tools.tool(wall_seconds=5)`.

        options: those of `Options`, and keys of the policy, by which it gets wider or narrower.
        The function stays what it is. Raises BadCall or BadPolicy for what does not fit.
        """
        if function is not None:
            self.add(function)
            return function
        return partial(self._register, options)

    def _register(self, options: ToolOptions, function: AnyFunction) -> AnyFunction:
        self.add(function, **options)
        return function

    def add(self, *what: object, **options: Unpack[ToolOptions]) -> tuple[Tool, ...]:
        """Register functions: themselves, by "module:name", or all public methods of an object.

        options: as for tool(). Raises BadCall or BadPolicy for what does not fit; then none of
        them is registered.
        """
        functions = [function for each in what for function in functions_of(each)]
        if len(functions) > 1 and "name" in options:
            message = f"name={options['name']!r} is for one function: these are {len(functions)}"
            raise BadCall(message)
        made = [make_tool(function, self._policy, options) for function in functions]
        self._reviews.check(made, options.get("reviewed"))
        self._catalogue.add(*made)
        return tuple(made)

    # Declaring

    def definitions(
        self, provider: Provider, *, strict: bool = True, context: Context | None = None
    ) -> list[Json]:
        """Give what a model is told of the tools, ready for `tools=` of a request.

        strict: the provider holds the model to the schemas; see definition_losses(). context: only
        the tools that this caller can use.
        """
        return self._define(provider, context, strict=strict).tools

    def definition_losses(
        self, provider: Provider, *, context: Context | None = None
    ) -> tuple[str, ...]:
        """Give what strict definitions cannot say to this provider, a sentence each."""
        return self._define(provider, context, strict=True).losses

    def _define(self, provider: Provider, context: Context | None, *, strict: bool) -> Definitions:
        self._reviews.check_all_registered(self.tools)
        declared = self._catalogue.declarations(context)
        return encode_definitions(declared, provider, strict=strict)

    # Answering

    async def answer(  # noqa: PLR0913 - ditto
        self,
        response: object,
        *,
        context: Context | None = None,
        provider: Provider | None = None,
        on_progress: OnProgress | None = None,
        wall_seconds: float | None = None,
        approve: Approve | None = None,
        sequential: bool = False,
    ) -> Answered:
        """Answer every call in a model's response, each exactly once.

        response: an SDK's object, plain JSON of any provider, or a Turn. context: who asks.
        provider: found by the response's shape unless given. on_progress: called with a call and
        each value it gives while it runs. wall_seconds: for the whole turn, waiting included.
        approve: decides about calls of tools with needs_approval. sequential: one call after the
        other, in order. Cancelling it kills its guests.

        Raises BadCall for a response that is none, EngineFault when the toolset is closed.
        """
        self._check_open()
        self._reviews.check_all_registered(self.tools)
        turn = response if isinstance(response, Turn) else read_turn(response, provider)
        turning = Turning(
            provider=turn.provider,
            context=(context or Context()).narrow(wall_seconds=wall_seconds),
            approve=approve,
            on_progress=on_progress,
        )
        places = await self._homes.here()
        calls = [OneCall(call, turning, self._equipment, places) for call in turn.calls]
        return Answered(turn=turn, calls=await _answer_all(calls, is_sequential=sequential))

    def answer_sync(  # noqa: PLR0913 - ditto
        self,
        response: object,
        *,
        context: Context | None = None,
        provider: Provider | None = None,
        on_progress: OnProgress | None = None,
        wall_seconds: float | None = None,
        approve: Approve | None = None,
        sequential: bool = False,
    ) -> Answered:
        """Do what answer() does, blocking. Callbacks are called in the toolset's own thread."""
        self._check_open()
        answer = partial(
            self.answer,
            response,
            context=context,
            provider=provider,
            on_progress=on_progress,
            wall_seconds=wall_seconds,
            approve=approve,
            sequential=sequential,
        )
        return self._loop.wait(answer)

    # Its end

    async def aclose(self) -> None:
        """End the guests of this event loop, and the blocking face; close its own ledger."""
        await self._homes.aclose()
        await anyio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """End what answer_sync() started; close its own ledger. A second time does nothing."""
        self._is_closed = True
        self._loop.close(self._homes.aclose)
        if self._owned:
            self._owned.close()

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            message = "this toolset is closed: make another"
            raise EngineFault(message)


async def _answer_all(calls: list[OneCall], *, is_sequential: bool) -> tuple[Called, ...]:
    """Answer calls at once, but those that are to run one after the other."""
    answered: dict[int, Called] = {}

    async def in_order(numbers: list[int]) -> None:
        for number in numbers:
            answered[number] = await calls[number].answered()

    chain = [number for number, call in enumerate(calls) if is_sequential or call.is_sequential]
    alone = sorted(set(range(len(calls))) - set(chain))
    if not alone:
        await in_order(chain)
    elif len(calls) == 1:
        await in_order(alone)
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(in_order, chain)
            for number in alone:
                group.start_soon(in_order, [number])
    return tuple(answered[number] for number in range(len(calls)))

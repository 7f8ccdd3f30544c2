"""The sandbox of asynchronous programs; box.py has its blocking face."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from sandbox.backends.base import OnOutput, OnPartial
from sandbox.batch import Calls, Done, Results, map_calls
from sandbox.call import Call, Command, Source, as_bytes, as_files
from sandbox.choices import BackendLike, PolicyLike, RuntimeName, as_backend, as_policy, backend_for
from sandbox.engine import Engine, WatchedResult
from sandbox.errors import EngineFault
from sandbox.functions import function_call
from sandbox.result import Result
from sandbox.session import AsyncSession
from sandbox.tenants import DEFAULT_QUEUE_SIZE, NAMELESS, Bounds, Budget, Spent, tenant_name
from sandbox.wire import Json

if TYPE_CHECKING:
    from sandbox.review.model import Review
    from sandbox.review.places import Places
    from sandbox.review.plan import Plan
    from sandbox.review.rules import Rules

__all__ = ["AsyncSandbox", "Files"]

Files: TypeAlias = Mapping[str, bytes | str]
T = TypeVar("T")


class AsyncSandbox:
    """Runs untrusted calls under one policy, on asyncio or trio. Use it as `async with`.

    policy: "strict" by default. backend: "subprocess", "docker", or one of your own; by default
    the policy's isolation chooses: "subprocess" for "process", "docker" for what is stronger.
    image, for "docker" only: "python" (the default) or "data", ours, or the name of any image in
    the engine. runtime, ditto: "runc" or "runsc"; by default what the policy's isolation asks for.
    preload: modules that guests find already imported. parallel: calls that run at once, the others
    wait in order; four per processor by default. queue_size: calls that may wait, over it QueueFull
    is raised. tenant_parallel: calls of one tenant that run at once; as many as run at all by
    default. budget: what each tenant may spend in all, over it BudgetSpent is raised; by default
    nothing is counted. See tenant(). Cancelling the task that awaits a call kills the call, whole.

    Every method raises BadCall for what cannot be sent, CannotEnforce for a policy that this host
    cannot keep, EngineFault for a fault of the engine; what the guest does is in the Result.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own, by keyword
        self,
        policy: PolicyLike = "strict",
        *,
        backend: BackendLike | None = None,
        image: str | None = None,
        runtime: RuntimeName | None = None,
        preload: Sequence[str] = (),
        parallel: int | None = None,
        queue_size: int = DEFAULT_QUEUE_SIZE,
        tenant_parallel: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Read the policy. Nothing is started before the first call. Raises BadPolicy, BadCall."""
        self.policy = as_policy(policy)
        chosen = backend_for(self.policy) if backend is None else backend
        bounds = Bounds(
            parallel=parallel or 4 * (os.cpu_count() or 1),
            queue_size=queue_size,
            tenant_parallel=tenant_parallel,
            budget=budget,
        )
        self._engine = Engine(as_backend(chosen, preload, image=image, runtime=runtime), bounds)
        self._tenant = NAMELESS
        self.parallel = bounds.parallel

    def tenant(self, name: str) -> Self:
        """Give this sandbox for one tenant: what is called on it is that tenant's.

        It is the same sandbox, with the same places: closing it closes both. A free place goes to
        the tenants that wait, one call each in turn; among the calls of a tenant, and so among all
        that name none, to the first that came. When the queue is full, the newest call of who has
        most waiting makes room for a tenant that has fewer. Raises BadCall for an empty name.
        """
        bound = copy.copy(self)
        bound._tenant = tenant_name(name)  # noqa: SLF001 - a copy of its own
        return bound

    def spent(self) -> Spent:
        """Say what the tenant has spent of its budget. Raises BadCall if there is no budget.

        A call counts when it gets its place, the rest at its end. One that is cancelled, or that a
        fault ends when it had begun, is charged the most it could use: its time with a place, on
        all its processors, up to its quota; and the output that was delivered.
        """
        return self._engine.tenants.spent(self._tenant)

    def renew_budget(self) -> None:
        """Forget what the tenant has spent: its budget begins anew. Raises as spent() does.

        What a tenant has spent is kept as long as the sandbox or until this.
        """
        self._engine.tenants.renew(self._tenant)

    async def run(  # noqa: PLR0913 - ditto
        self,
        source: str,
        *,
        inputs: Mapping[str, Json] | None = None,
        arguments: Sequence[str] = (),
        files: Files | None = None,
        stdin: bytes | str = b"",
        name: str = "program.py",
        expect_value: bool = True,
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run Python source as a main module; its last expression is the value.

        inputs: JSON values, names in the module. arguments: sys.argv[1:]. files: relative name to
        content, in the work folder /box. stdin: standard input. name: sys.argv[0].
        expect_value: False runs it as a script, whose last expression is nobody's value.
        on_output: called with ("stdout" or "stderr", bytes) while the call runs.
        """
        call = Source(
            source=source,
            inputs=inputs or {},
            arguments=arguments,
            name=name,
            expect_value=expect_value,
            files=as_files(files),
            stdin=as_bytes(stdin),
        )
        return await self.execute(call, on_output=on_output)

    async def call(
        self, function: str | Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Result:
        """Call a function, by "module:name" or itself, with JSON arguments; it returns the value.

        A coroutine function is awaited. A function of this program is sent by value.
        """
        return await self.execute(function_call(function, args, kwargs, self.policy))

    async def exec(
        self,
        argv: Sequence[str],
        *,
        files: Files | None = None,
        stdin: bytes | str = b"",
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run a program; it is found on the guest's PATH, and no shell is involved."""
        call = Command(argv=argv, files=as_files(files), stdin=as_bytes(stdin))
        return await self.execute(call, on_output=on_output)

    async def execute(
        self,
        call: Call,
        *,
        on_output: OnOutput | None = None,
        on_partial: OnPartial | None = None,
    ) -> Result:
        """Run a call that was made before. on_partial: called with each partial value as it comes.

        Whatever either callback raises ends the call, and comes out of here.
        """
        self.check_open()
        execute = self._engine.execute
        return await execute(call, self.policy, on_output, on_partial, tenant=self._tenant)

    async def watch(self, call: Call, *, on_output: OnOutput | None = None) -> WatchedResult:
        """Run a call and write down all that it asks of the kernel; see sandbox.record.

        Gives its result and its record. review() makes a report of such runs. Raises CannotEnforce
        where the backend cannot watch: containers cannot.
        """
        self.check_open()
        return await self._engine.watch(call, self.policy, on_output, tenant=self._tenant)

    @property
    def places(self) -> "Places":
        """What of this host the guests see, and where."""
        from sandbox.review.places import Places  # noqa: PLC0415 - only reviews need it

        return Places.of(self.policy, self._engine.python)

    async def review(
        self,
        what: "Plan | Call | Sequence[Call]",
        *,
        rules: "Rules | None" = None,
        plants_canaries: bool = True,
        wants_least: bool = False,
    ) -> "Review":
        """Run calls of one thing, watched, one after the other, and say what they did.

        what: a call, several with other inputs, or a Plan. The policy "review" is made for it.
        rules: what to look for, the shipped ones by default. plants_canaries: whether fake secrets
        lie in the guest's home and environment; who passes one on is caught. wants_least: run them
        again under the least policy, which is in the review with what went otherwise.
        """
        from sandbox.review.reviewing import Reviewer, as_plan  # noqa: PLC0415 - ditto
        from sandbox.review.rules import Rules  # noqa: PLC0415 - ditto

        reviewer = Reviewer(
            watch=partial(self._engine.watch, on_output=None, tenant=self._tenant),
            policy=self.policy,
            python=self._engine.python,
            rules=rules or Rules.load(),
            plants_canaries=plants_canaries,
        )
        self.check_open()
        return await reviewer.review(as_plan(what, self.places), wants_least=wants_least)

    def session(self, policy: PolicyLike | None = None) -> AsyncSession:
        """Give a session: `async with box.session() as s`. policy: this sandbox's by default."""
        self.check_open()
        chosen = self.policy if policy is None else as_policy(policy)
        open_guest = partial(self._engine.open_session, chosen)
        return AsyncSession(self._engine, chosen, self._tenant, open_guest)

    def map(
        self, calls: Calls, *, concurrency: int | None = None
    ) -> AbstractAsyncContextManager[Results[Call, Done]]:
        """Run many calls and give each result as it comes, in order of completion.

        `async with box.map(calls) as results: async for done in results: ...`; Done has index, call
        and result. Whatever ends the block kills what still runs. concurrency: the most calls that
        are taken while their results are not; by default as many as run at once. calls: taken
        in the event loop, so an iterable that may wait must be an asynchronous one. What a call or
        the iterable raises comes out of the iterator and ends it.
        """
        return map_calls(self.execute, calls, self.parallel if concurrency is None else concurrency)

    async def aclose(self) -> None:
        """End everything of this sandbox. Calls that run or wait fail with EngineFault."""
        self.refuse_more()
        await self._engine.aclose()

    def refuse_more(self) -> None:
        """Take no further call."""
        self._engine.is_closed = True

    def check_open(self) -> None:
        """Raise EngineFault if this sandbox takes no further call."""
        if self._engine.is_closed:
            message = "this sandbox is closed: make another"
            raise EngineFault(message)

    async def __aenter__(self) -> Self:
        """Give itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

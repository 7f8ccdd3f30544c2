"""What a user holds: AsyncSandbox, and Sandbox, its blocking face."""

import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sandbox.async_box import AsyncSandbox, Files
from sandbox.backends.base import OnOutput, OnPartial
from sandbox.batch import BlockingResults
from sandbox.call import Call
from sandbox.choices import BackendLike, PolicyLike, RuntimeName
from sandbox.engine import WatchedResult
from sandbox.loop_thread import LoopThread
from sandbox.policy import Policy
from sandbox.result import Result
from sandbox.session import Session
from sandbox.tenants import DEFAULT_QUEUE_SIZE, Budget, Spent
from sandbox.wire import Json

if TYPE_CHECKING:
    from sandbox.review.model import Review
    from sandbox.review.plan import Plan
    from sandbox.review.rules import Rules

__all__ = ["AsyncSandbox", "Sandbox"]

T = TypeVar("T")


class Sandbox:
    """The blocking face of AsyncSandbox: the same arguments, methods and errors. Use it as `with`.

    One thread of its own serves all calls; run() and the others may be called from many threads.
    An interrupt (Ctrl-C) in the thread that waits for a call kills the call.
    """

    def __init__(  # noqa: PLR0913 - ditto
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
        self._inner = AsyncSandbox(
            policy,
            backend=backend,
            image=image,
            runtime=runtime,
            preload=preload,
            parallel=parallel,
            queue_size=queue_size,
            tenant_parallel=tenant_parallel,
            budget=budget,
        )
        self._loop = LoopThread()

    @property
    def policy(self) -> Policy:
        """The policy of every call."""
        return self._inner.policy

    def tenant(self, name: str) -> Self:
        """Give this sandbox for one tenant; see AsyncSandbox.tenant."""
        bound = copy.copy(self)
        bound._inner = self._inner.tenant(name)  # noqa: SLF001 - ditto
        return bound

    def spent(self) -> Spent:
        """Say what the tenant has spent of its budget; see AsyncSandbox.spent."""
        return self._inner.spent()

    def renew_budget(self) -> None:
        """Begin the budget of the tenant anew; see AsyncSandbox.renew_budget."""

        async def renew() -> None:  # where the calls are charged
            self._inner.renew_budget()

        self._wait(renew)

    def run(  # noqa: PLR0913 - ditto
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
        """Run Python source; see AsyncSandbox.run. on_output is called in the sandbox's thread."""
        run = partial(
            self._inner.run,
            source,
            inputs=inputs,
            arguments=arguments,
            files=files,
            stdin=stdin,
            name=name,
            expect_value=expect_value,
            on_output=on_output,
        )
        return self._wait(run)

    def call(self, function: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> Result:
        """Call a function; see AsyncSandbox.call."""
        return self._wait(partial(self._inner.call, function, *args, **kwargs))

    def exec(
        self,
        argv: Sequence[str],
        *,
        files: Files | None = None,
        stdin: bytes | str = b"",
        on_output: OnOutput | None = None,
    ) -> Result:
        """Run a program; see AsyncSandbox.exec."""
        execute = self._inner.exec
        return self._wait(partial(execute, argv, files=files, stdin=stdin, on_output=on_output))

    def execute(
        self,
        call: Call,
        *,
        on_output: OnOutput | None = None,
        on_partial: OnPartial | None = None,
    ) -> Result:
        """Run a call that was made before; see AsyncSandbox.execute."""
        execute = self._inner.execute
        return self._wait(partial(execute, call, on_output=on_output, on_partial=on_partial))

    def watch(self, call: Call, *, on_output: OnOutput | None = None) -> WatchedResult:
        """Run a call and write down what it asks of the kernel; see AsyncSandbox.watch."""
        return self._wait(partial(self._inner.watch, call, on_output=on_output))

    def review(
        self,
        what: "Plan | Call | Sequence[Call]",
        *,
        rules: "Rules | None" = None,
        plants_canaries: bool = True,
        wants_least: bool = False,
    ) -> "Review":
        """Run calls, watched, and say what they did; see AsyncSandbox.review."""
        review = partial(
            self._inner.review,
            what,
            rules=rules,
            plants_canaries=plants_canaries,
            wants_least=wants_least,
        )
        return self._wait(review)

    def session(self, policy: PolicyLike | None = None) -> Session:
        """Give a session: `with box.session() as s`; see AsyncSandbox.session."""
        return Session(self._inner.session(policy), self._loop)

    def map(self, calls: Iterable[Call], *, concurrency: int | None = None) -> BlockingResults:
        """Run many calls; `with box.map(calls) as results: for done in results: ...`.

        See AsyncSandbox.map. calls: taken in your thread, whenever you ask for the next result.
        Without the `with`, what runs when you leave the loop early goes on to its end, unseen.
        """
        most = self._inner.parallel if concurrency is None else concurrency
        return BlockingResults(self._inner.execute, self._wait, calls, most)

    def close(self) -> None:
        """End everything of this sandbox; a second time does nothing."""
        self._inner.refuse_more()
        self._loop.close(self._inner.aclose)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        """Run it in the sandbox's thread; what interrupts the wait kills the call."""
        self._inner.check_open()
        return self._loop.wait(call)

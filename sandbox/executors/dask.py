"""A scheduler of dask: the tasks of a graph run in guests."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import dask.local

from sandbox.executors.futures import SandboxExecutor

__all__ = ["scheduler_for"]

_local: Any = dask.local  # it has no types


class Get(Protocol):
    """A scheduler, as dask takes one."""

    def __call__(self, dsk: Any, keys: Any, **options: Any) -> Any:
        """Compute these keys of a graph."""
        ...


def scheduler_for(executor: SandboxExecutor) -> Get:
    """Make a scheduler for `dask.config.set(scheduler=...)` or `x.compute(scheduler=...)`.

    Each task of the graph has a guest of its own, which needs dask: a policy with installed
    packages ("compute"), and preload=("dask.local",) for speed. What goes from one task to the next
    is JSON: numbers, text, lists; no arrays, no data frames. When one task fails the guests of the
    others are killed, and result() of SandboxExecutor says what is raised.
    """

    def get(dsk: Any, keys: Any, **options: Any) -> Any:
        answers: list[_Answer] = []

        def submit(_: object, tasks: Sequence[Sequence[Any]]) -> _Answer:
            ((key, (task, inputs), *_others),) = tasks
            answers.append(_Answer(key, _submit(executor, task, inputs)))
            return answers[-1]

        options |= {"chunksize": 1, "num_workers": executor.max_workers}
        try:
            return _local.get_async(submit, dsk=dsk, result=keys, **options)
        finally:
            for answer in answers:
                answer.cancel()

    return get


def _submit(executor: SandboxExecutor, task: Any, inputs: dict[Any, Any]) -> Future[Any]:
    """Run a task in a guest; keys are tuples often, and those of JSON are text."""
    names = {key: f"input {number}" for number, key in enumerate(inputs)}
    return executor.submit(task.substitute(names), {names[key]: inputs[key] for key in inputs})


class _Answer:
    """What get_async() expects of a future: key, value and worker of each task, and no failure."""

    def __init__(self, key: Any, future: Future[Any]) -> None:
        self._key = key
        self._future = future

    def add_done_callback(self, callback: Callable[["_Answer"], object]) -> None:
        self._future.add_done_callback(lambda _: callback(self))

    def result(self) -> list[tuple[Any, tuple[Any, None], bool]]:
        return [(self._key, (self._future.result(), None), False)]

    def cancel(self) -> None:
        self._future.cancel()

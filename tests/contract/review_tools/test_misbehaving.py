"""Tools that misbehave: what is found, how bad it is, in which words, and nothing beside it."""

import pytest

from tests.contract.review_tools.cases import CASES, LEAKS, Case
from tests.contract.review_tools.conftest import TOOLS, ReviewOf, above_info, proofs

PARAMETERS = [
    pytest.param(name, case, marks=pytest.mark.slow if case.is_slow else (), id=name)
    for name, case in CASES.items()
]
ELSEWHERE = {"leak.py", "fork_storm.py", "fork_storm.c", "run_memory.c"}
"""Tested below."""


@pytest.mark.parametrize(("name", "case"), PARAMETERS)
def test_what_a_tool_does_wrong_is_found_and_nothing_else(
    name: str, case: Case, review_of: ReviewOf
) -> None:
    review = review_of(f"misbehaving/{name}", *case.files, files=case.files)

    assert above_info(review) == case.found
    assert set(case.info) <= {each.rule for each in review.findings}
    for rule, words in case.words.items():
        assert words in proofs(review, rule)


@pytest.mark.parametrize("way", LEAKS)
def test_a_secret_that_is_passed_on_is_found_whichever_way_it_went(
    way: str, review_of: ReviewOf
) -> None:
    review = review_of("misbehaving/leak.py", way)

    assert review.severity == "high"
    assert LEAKS[way] in proofs(review, "leaks-planted-secret")
    assert above_info(review).keys() <= {
        *("leaks-planted-secret", "reads-planted-secret", "reads-credentials"),
        *("reads-planted-variable", "connects-outside"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fork_storm.py", "fork_storm.c"])
def test_many_processes_are_found_also_where_they_ask_for_nothing(
    name: str, review_of: ReviewOf
) -> None:
    found = above_info(review_of(f"misbehaving/{name}"))

    assert found["forks-without-end"] == "medium"
    assert found.keys() <= {"forks-without-end", "starts-many-processes"}


def test_a_program_in_memory_is_found_where_there_can_be_one(review_of: ReviewOf) -> None:
    """Without a control group memory that belongs to no process is refused: it never starts."""
    review = review_of("misbehaving/run_memory.c")

    can_be = review.runs[0].result.ok
    assert above_info(review) == ({"runs-from-memory": "high"} if can_be else {})
    assert can_be or "memfd_create (ENOSYS)" in proofs(review, "other-missing-calls")


def test_every_tool_that_misbehaves_is_tested() -> None:
    assert {path.name for path in (TOOLS / "misbehaving").iterdir()} == CASES.keys() | ELSEWHERE


def test_every_finding_above_info_has_a_tool() -> None:
    """But for those that need ten seconds of waiting, or what a box has not."""
    from sandbox.review.rules import Rules  # noqa: PLC0415 - for this test alone

    known = {rule.name for rule in Rules.load().rules if rule.severity != "info"}
    missing = known - {rule for case in CASES.values() for rule in case.found}

    assert missing == {"starts-many-processes", "record-is-not-whole", "other-refusals"}

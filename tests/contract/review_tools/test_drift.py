"""The same tool again, and another one under its name: what is said to have changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox, Source
from sandbox.call import Call
from sandbox.review.baseline import baseline_of, compare
from tests.contract.command_line import sandbox
from tests.contract.review_tools.conftest import TOOLS, CallOf, ReviewOf
from tests.contract.review_tools.real import GIT, TEXT, UGLY, command, module

PYTEST = {"test_a.py": b"def test(): assert 1 + 1 == 2\n"}
CALLS: dict[str, Callable[[CallOf], Call]] = {
    "a formatter": lambda call_of: call_of(
        "behaving/format_json.py", "a.json", files={"a.json": b'{"b": 1}'}
    ),
    "threads": lambda call_of: call_of("behaving/threads.py", "a.txt", files={"a.txt": TEXT}),
    "a pipeline": lambda call_of: call_of(
        "behaving/count_words.sh", "a.txt", files={"a.txt": TEXT}
    ),
    "git": lambda _: command("git", "--version") and command("sh", "-c", GIT),
    "black": lambda _: module("black", "-q", "a.py", files={"a.py": UGLY}),
    "pytest": lambda _: module("pytest", "-q", "test_a.py", files=PYTEST),
    "a grandchild": lambda call_of: call_of("pretending/grandchild.py"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_the_same_tool_again_has_not_changed(name: str, reviewer: Sandbox, call_of: CallOf) -> None:
    call = CALLS[name](call_of)
    baseline = baseline_of(reviewer.review(call))

    assert [each.sentence for each in compare(baseline, reviewer.review(call))] == []


def test_a_tool_that_does_what_it_did_not_before_is_said_to(review_of: ReviewOf) -> None:
    before = review_of("pretending/on_demand.py", "a.txt", files={"a.txt": b"test"})
    after = review_of("pretending/on_demand.py", "a.txt", files={"a.txt": b"production"})

    sentences = [each.sentence for each in compare(baseline_of(before), after)]
    assert "It reads what it did not before: /box/.kube/config." in sentences


def test_a_dependency_that_is_another_is_named(reviewer: Sandbox) -> None:
    calls = [
        Source(source="import helper", expect_value=False, files={"helper.py": content})
        for content in (b"x = 1\n", b"x = 2\n")
    ]
    before, after = map(reviewer.review, calls)

    sentences = [each.sentence for each in compare(baseline_of(before), after)]
    assert any("helper.py" in sentence for sentence in sentences)


@pytest.mark.slow
def test_the_command_holds_a_tool_against_its_baseline(tmp_path: Path) -> None:
    given, tool = tmp_path / "a.csv", tmp_path / "sum_csv.py"
    given.write_bytes(b"one,1\n")
    tool.write_bytes((TOOLS / "behaving/sum_csv.py").read_bytes())
    words = ("review", "--input", str(given))
    sandbox(*words, "--out", str(tmp_path / "kept"), str(tool))
    against = (*words, "--against", str(tmp_path / "kept" / "baseline.json"), str(tool))

    same = sandbox(*against)
    tool.write_text(f"# another\n{tool.read_text()}")
    changed = sandbox(*against)

    assert (same.returncode, changed.returncode) == (0, 1)
    assert "Changed since baseline.json: nothing" in same.stdout
    assert "Its own code has changed: SHA-256" in changed.stdout


@pytest.mark.slow
def test_the_command_says_which_of_a_policy_is_not_used(tmp_path: Path) -> None:
    given = tmp_path / "a.csv"
    given.write_bytes(b"one,1\n")

    tool = str(TOOLS / "behaving/sum_csv.py")
    done = sandbox("review", "--check", "review", "--input", str(given), tool)

    assert done.returncode == 0
    assert "* Any program may be started, and no run started one." in done.stdout
    assert "* Installed packages may be imported, and no run read one." in done.stdout


@pytest.mark.slow
def test_the_command_stops_a_server_and_says_so() -> None:
    done = sandbox("review", "--timeout", "1", "--fail-on", "medium", "python", "-m", "http.server")

    assert done.returncode == 0
    assert "http.server: low: 1 low, 1 info found in 1 run" in done.stdout
    assert "It listens on an address that others can reach." in done.stdout

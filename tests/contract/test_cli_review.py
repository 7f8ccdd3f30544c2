"""`sandbox review` as its users have it: what it says, writes, exits with, and complains of."""

import json
from pathlib import Path

import pytest

from sandbox import Policy
from sandbox.review.baseline import Baseline
from sandbox.review.model import Review
from tests.contract.command_line import sandbox

GOOD = "import sys\nprint(sum(map(int, open(sys.argv[1]))))\n"
BAD = "import os\nprint(open(os.path.expanduser('~/.aws/credentials')).read())\n"


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """A tool that sums up the numbers of a file."""
    path = tmp_path / "tool.py"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("1\n2\n", encoding="utf-8")
    return path


def test_a_good_tool_is_said_to_be_one(tool: Path, numbers: Path) -> None:
    done = sandbox("review", str(tool), "--input", str(numbers))

    assert done.returncode == 0
    assert done.stdout.startswith("tool.py: info: nothing found in 1 run\nrun 1 (numbers.txt): ok")


def test_options_are_taken_before_and_after_the_tool(tool: Path, numbers: Path) -> None:
    before = sandbox("review", "--input", str(numbers), "--json", str(tool))
    after = sandbox("review", str(tool), "--json", "--input", str(numbers))

    values = [Review.from_json(done.stdout).runs[0].result.stdout for done in (before, after)]
    assert values == ["3\n", "3\n"]


def test_an_option_that_is_not_the_reviews_is_the_tools(tmp_path: Path) -> None:
    tool = tmp_path / "tool.py"
    tool.write_text("import sys\nprint(sys.argv[1:])\n", encoding="utf-8")

    done = sandbox("review", "--json", str(tool), "--verbose", "-x", "7")

    assert Review.from_json(done.stdout).runs[0].result.stdout == "['--verbose', '-x', '7']\n"


def test_each_input_is_a_run(tool: Path, numbers: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("40\n", encoding="utf-8")

    done = sandbox("review", "--json", str(tool), "--input", str(numbers), "--input", str(other))

    runs = Review.from_json(done.stdout).runs
    assert [(run.input, run.result.stdout) for run in runs] == [
        ("numbers.txt", "3\n"),
        ("other.txt", "40\n"),
    ]


def test_a_bad_tool_fails_where_that_is_asked_for(tmp_path: Path) -> None:
    tool = tmp_path / "tool.py"
    tool.write_text(BAD, encoding="utf-8")

    done = sandbox("review", str(tool), "--fail-on", "high")

    assert done.returncode == 1
    assert "A planted secret shows up" in done.stdout


def test_out_has_a_page_the_review_and_a_baseline(tool: Path, numbers: Path) -> None:
    folder = tool.parent / "out"

    done = sandbox("review", str(tool), "--input", str(numbers), "--out", str(folder))

    assert done.returncode == 0
    assert (folder / "review.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert Review.from_json((folder / "review.json").read_bytes()).subject.name == "tool.py"
    assert Baseline.load(folder / "baseline.json").name == "tool.py"


@pytest.mark.slow
def test_the_least_policy_is_written_and_holds(tool: Path, numbers: Path) -> None:
    document = tool.parent / "least.toml"

    done = sandbox("review", str(tool), "--input", str(numbers), "--write-policy", str(document))

    least = Policy.load(document)
    assert done.returncode == 0
    assert "Under the least policy it went otherwise: nothing" in done.stdout
    assert (least.programs.kind, least.packages.kind) == ("none", "none")


@pytest.mark.slow
def test_drift_is_told_and_is_a_failure(tool: Path, numbers: Path) -> None:
    words = ("review", str(tool), "--input", str(numbers))
    baseline = tool.parent / "out" / "baseline.json"
    sandbox(*words, "--out", str(baseline.parent))

    same = sandbox(*words, "--against", str(baseline))
    tool.write_text(GOOD + "open('extra.txt', 'w').write('x')\n", encoding="utf-8")
    other = sandbox(*words, "--against", str(baseline))

    assert (same.returncode, other.returncode) == (0, 1)
    assert "Changed since baseline.json: nothing" in same.stdout
    assert "Its own code has changed" in other.stdout
    assert "extra.txt" in other.stdout.partition("Changed since")[2]


def test_check_says_what_of_a_policy_is_not_used(tool: Path, numbers: Path) -> None:
    done = sandbox("review", str(tool), "--input", str(numbers), "--check", "review")

    assert "* Any program may be started, and no run started one." in done.stdout


WRONG: dict[str, tuple[list[str], str]] = {
    "misspelt option": (["--polcy", "review", "x.py"], "there is no option --polcy"),
    "no such program": (["no-such-program"], "no program 'no-such-program'"),
    "no such file": (["./nowhere.py"], "there is no file ./nowhere.py"),
    "no such function": (["nowhere:nothing"], "there is no module 'nowhere'"),
    "no such input": (["ls", "--input", "/nowhere"], "/nowhere: cannot be read"),
    "no such baseline": (["ls", "--against", "/nowhere"], "--against /nowhere: cannot be read"),
    "no baseline": (["ls", "--against", "/etc/hostname"], "is no baseline of a review"),
    "no such policy": (["ls", "--policy", "nowhere"], "nowhere"),
    "no such rules": (["ls", "--rules", "/nowhere.toml"], "/nowhere.toml"),
    "nothing": ([], "Missing argument"),
    "no seconds": (["ls", "--timeout", "0"], "wall_seconds"),
}


@pytest.mark.parametrize(("words", "complaint"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line(words: list[str], complaint: str) -> None:
    done = sandbox("review", *words)

    assert done.returncode == 125
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_schema_of_the_json_is_there() -> None:
    schema = Review.model_json_schema()

    assert {"subject", "runs", "findings", "least_policy"} <= schema["properties"].keys()
    assert json.dumps(schema)

"""The least policy of real tools: it loads, it is narrower, and they run under it as before."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Policy, Sandbox
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.call import Call
from sandbox.policy import FileGrant, ListedPrograms, NoPrograms
from sandbox.review.grants import unused_grants
from sandbox.review.least import wider_than
from sandbox.review.model import Review
from tests.conftest import NO_PROCESSES
from tests.contract.review_tools.conftest import PROCESSES, CallOf
from tests.contract.review_tools.real import GIT, TEXT, UGLY, command, module

PIPELINE = "sort a.txt | uniq -c | sort -rn | head -n 1"
CSV = {"a.csv": b"one,1\ntwo,2\none,3\n"}

CALLS: dict[str, Callable[[CallOf], Call]] = {
    "csv": lambda call_of: call_of("behaving/sum_csv.py", "a.csv", files=CSV),
    "threads": lambda call_of: call_of("behaving/threads.py", "a.txt", files={"a.txt": TEXT}),
    "cache": lambda call_of: call_of("behaving/cache.py", "3"),
    "database": lambda call_of: call_of("behaving/database.py", "milk"),
    "program in C": lambda call_of: call_of(
        "behaving/count_lines.c", "a.txt", files={"a.txt": TEXT}
    ),
    "git": lambda _: command("git", "--version") and command("sh", "-c", GIT),
    "black": lambda _: module("black", "-q", "a.py", files={"a.py": UGLY}),
    "pipeline": lambda _: command("sh", "-c", PIPELINE),
    "sqlite3": lambda _: command("sqlite3", "a.db", "create table t (x)"),
}


def read(review: Review, folder: Path) -> Policy:
    """Read the least policy as a user does: from a file."""
    document = folder / "least.toml"
    document.write_text(review.least_policy)
    return Policy.load(document)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_tool_runs_under_its_least_policy_as_before(
    name: str, reviewer: Sandbox, call_of: CallOf, tmp_path: Path
) -> None:
    review = reviewer.review(CALLS[name](call_of), wants_least=True)

    least = read(review, tmp_path)
    assert review.least_differences == ()
    assert wider_than(least, reviewer.policy) == ()
    assert least.quota.memory_bytes < reviewer.policy.quota.memory_bytes


def test_a_tool_that_starts_nothing_may_start_nothing(
    reviewer: Sandbox, call_of: CallOf, tmp_path: Path
) -> None:
    review = reviewer.review(CALLS["csv"](call_of), wants_least=True)

    assert isinstance(read(review, tmp_path).programs, NoPrograms)


def test_a_pipeline_may_start_its_own_programs_alone(reviewer: Sandbox, tmp_path: Path) -> None:
    review = reviewer.review(command("sh", "-c", PIPELINE), wants_least=True)

    programs = read(review, tmp_path).programs
    assert isinstance(programs, ListedPrograms)
    assert {Path(path).name for path in programs.allow} == {"dash", "sort", "uniq", "head"}


@pytest.fixture(params=PROCESSES or [pytest.param("", marks=NO_PROCESSES)])
def granting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox whose guests may read two folders of the host."""
    grants: list[FileGrant] = []
    for name in ("used", "unused"):
        (tmp_path / name / "inside").mkdir(parents=True)
        (tmp_path / name / "inside" / "a.csv").write_bytes(CSV["a.csv"])
        path = str(tmp_path / name)
        grants.append(
            FileGrant(path=path, at=f"/srv/{name}", access="read", reason="a test of grants")
        )
    policy = Policy.load("review").widen("a test", name="granting", files=tuple(grants))
    backend = SubprocessBackend(use_control_groups=request.param == "cgroup")
    with Sandbox(policy, backend=backend) as box:
        yield box


def test_of_a_folder_of_the_host_only_the_file_that_was_read_is_granted(
    granting: Sandbox, call_of: CallOf, tmp_path: Path
) -> None:
    call = call_of("behaving/sum_csv.py", "/srv/used/inside/a.csv")

    review = granting.review(call, wants_least=True)

    (grant,) = read(review, tmp_path).files
    assert (grant.at, grant.access) == ("/srv/used/inside/a.csv", "read")
    assert review.least_differences == ()


def test_a_folder_that_is_not_used_is_named(granting: Sandbox, call_of: CallOf) -> None:
    call = call_of("behaving/sum_csv.py", "/srv/used/inside/a.csv")

    unused = unused_grants(granting.policy, granting.review(call).runs)

    assert "/srv/unused may be read, and no run used it." in unused
    assert not any("/srv/used" in sentence for sentence in unused)

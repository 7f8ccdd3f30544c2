"""Reviews of the programs in tests/tools, and of real ones."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sandbox import Policy, Sandbox, Source
from sandbox.backends.subprocess import SubprocessBackend
from sandbox.call import Call, Command
from sandbox.review.model import Review
from tests.conftest import NO_PROCESSES, lacking, mechanisms

TOOLS = Path(__file__).parents[2] / "tools"
PROCESSES: list[Any] = [name for name in mechanisms() if name in {"cgroup", "watchdog"}]
"""A container's guests cannot be watched."""

CallOf = Callable[..., Call]
ReviewOf = Callable[..., Review]


@pytest.fixture(scope="session", params=PROCESSES or [pytest.param("", marks=NO_PROCESSES)])
def reviewer(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox under the policy "review"."""
    backend = SubprocessBackend(use_control_groups=request.param == "cgroup")
    with Sandbox(Policy.load("review"), backend=backend) as box:
        yield box


@pytest.fixture(scope="session")
def call_of(tmp_path_factory: pytest.TempPathFactory) -> CallOf:
    """Give the call of a tool by its name: compiled, or as a script."""
    folder = tmp_path_factory.mktemp("compiled")

    def call(name: str, *arguments: str, files: dict[str, bytes] | None = None) -> Call:
        path, given = TOOLS / name, files or {}
        if path.suffix == ".py":
            source = path.read_text(encoding="utf-8")
            words = {"source": source, "name": path.name, "arguments": arguments}
            return Source(**words, expect_value=False, files=given)  # type: ignore[arg-type]
        is_source = path.suffix == ".c"
        content = compiled(path, folder) if is_source else path.read_bytes()
        program = path.stem if is_source else path.name
        return Command(argv=[f"./{program}", *arguments], files={program: content, **given})

    return call


@pytest.fixture
def review_of(reviewer: Sandbox, call_of: CallOf) -> ReviewOf:
    """Review a tool by its name."""

    def review(name: str, *arguments: str, files: dict[str, bytes] | None = None) -> Review:
        return reviewer.review(call_of(name, *arguments, files=files))

    return review


@cache
def compiled(source: Path, folder: Path) -> bytes:
    """Compile a C program."""
    compiler = shutil.which("gcc")
    if compiler is None:
        lacking("compiler", "apt-get install gcc libc6-dev")
    program = folder / source.stem
    subprocess.run([compiler, "-w", "-O1", "-o", program, source], check=True, timeout=30)
    return program.read_bytes()


def above_info(review: Review) -> dict[str, str]:
    """Give the findings that are worse than "info", by their rules."""
    return {each.rule: each.severity for each in review.findings if each.severity != "info"}


def proofs(review: Review, rule: str) -> str:
    """Give all proofs of one rule's finding, a line each."""
    return "\n".join(
        proof.text for each in review.findings if each.rule == rule for proof in each.proofs
    )

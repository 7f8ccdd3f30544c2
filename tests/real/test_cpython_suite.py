"""CPython's own regression tests pass inside the sandbox, but for those that are listed here."""

import os
import re
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import anyio
import pytest

from sandbox import AsyncSandbox, Policy, Result, Sandbox, SandboxError
from sandbox.backends.subprocess import SubprocessBackend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SandboxFor = Callable[..., Sandbox]
Outcomes = dict[str, Result | SandboxError]

TESTS: Final = Path(sysconfig.get_path("stdlib"), "test")
IS_REQUIRED: Final = "testsuite" in os.environ.get("SANDBOX_REQUIRE", "").split(",")
"""In CI what is missing must not be skipped."""
PARALLEL: Final = 3
"""These tests wait more than they work."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Tests that cannot pass inside, and the line of the policy or of DESIGN.md that causes it."""

    names: tuple[str, ...]
    because: str


LEFT_OUT: Final[dict[str, LeftOut]] = {
    "test_subprocess": LeftOut(
        names=("test_user", "test_group"),
        because="section 6: a guest's user namespace has one user and one group and no capability, "
        "so setuid(2) and setgid(2) to 'nobody' give EINVAL where the test knows EPERM",
    ),
    "test_asyncio": LeftOut(
        names=("test_bidirectional_pty", "test_read_pty_output", "test_write_pty"),
        because="a minimal /dev: there is no /dev/ptmx, so os.openpty() finds no terminal",
    ),
}
# The "network" resource of these tests is off, as it is by default: network.kind = "none".

MODULES: Final = (
    "test_asyncio",  # the long ones first: they wait beside the others
    "test_multiprocessing_fork",
    "test_subprocess",
    "test_threading",
    "test_dict",
    "test_json",
    "test_list",
    "test_math",
    "test_re",
    "test_sqlite3",
    "test_statistics",
    "test_tempfile",
)

NOT_SHIPPED: Final = frozenset({"test_sqlite3"})
"""Debian's libpython3.11-testsuite lacks these, so nothing that is installed brings them."""


def is_here(module: str) -> bool:
    return (TESTS / f"{module}.py").exists() or (TESTS / module).is_dir()


WIDER: Final[dict[str, float]] = {
    "wall_seconds": 300.0,
    "cpu_seconds": 300.0,
    "cpus": 2,
    "memory_bytes": 2 << 30,
    "processes": 256,
    "open_files": 1024,
    "disk_bytes": 1 << 30,
    "file_bytes": 1 << 30,
    "disk_files": 65_536,
    "output_bytes": 64 << 20,
    "returned_files": 0,
}
"""How much wider than "strict" these tests need it; what they may touch stays the same."""


def command(module: str, *options: str) -> list[str]:
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [python, "-m", "test", "-v", *options, module]


def for_each(option: str, names: tuple[str, ...]) -> list[str]:
    return [word for name in names for word in (option, name)]


def without_left_out(module: str) -> list[str]:
    names = LEFT_OUT[module].names if module in LEFT_OUT else ()
    return command(module, *for_each("--ignore", names))


async def run_all(use_control_groups: bool) -> Outcomes:  # noqa: FBT001 - by anyio.run
    backend = SubprocessBackend(use_control_groups=use_control_groups)
    results: Outcomes = {}

    async def run(module: str) -> None:
        try:
            results[module] = await box.exec(without_left_out(module))
        except SandboxError as fault:  # one fault must not hide what became of the others
            results[module] = fault

    policy = Policy.load("strict").widen("CPython's own tests are large", **WIDER)
    box = AsyncSandbox(policy, backend=backend, parallel=PARALLEL)
    async with box, anyio.create_task_group() as tasks:
        for module in filter(is_here, MODULES):
            tasks.start_soon(run, module)
    return results


@cache
def results_by(mechanism: str) -> Outcomes:
    """Run all modules beside each other, once per mechanism."""
    return anyio.run(run_all, mechanism == "cgroup")


def skip_if_not_here(module: str) -> None:
    if is_here(module):
        return
    if module in NOT_SHIPPED:
        pytest.skip(f"this Python came without {module}; one that python.org's source made has it")
    message = f"this Python came without {module}: apt-get install libpython3.11-testsuite"
    if IS_REQUIRED:
        pytest.fail(message)
    pytest.skip(message)


def count_of_tests(result: Result) -> int:
    counts: list[str] = re.findall(r"^Ran (\d+) tests? in", result.stdout, re.MULTILINE)
    return sum(map(int, counts))


@pytest.mark.parametrize("module", MODULES)
def test_cpythons_own_tests_pass_inside(mechanism: str, module: str) -> None:
    skip_if_not_here(module)

    result = results_by(mechanism)[module]

    assert isinstance(result, Result), result
    assert (result.status, count_of_tests(result) > 50) == ("ok", True), result.stdout[-4000:]


@pytest.mark.parametrize("module", LEFT_OUT)
def test_what_is_left_out_would_fail(sandbox_for: SandboxFor, module: str) -> None:
    """What passes by now is left out for nothing."""
    skip_if_not_here(module)
    only_these = for_each("--match", LEFT_OUT[module].names)

    result = sandbox_for(**WIDER).exec(command(module, *only_these))

    assert (result.status, count_of_tests(result) > 0) == ("exit", True), result.stdout[-4000:]

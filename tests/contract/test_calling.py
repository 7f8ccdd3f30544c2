"""Functions by name, by import and by value; programs by their name."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.policy import InstalledPackages
from sandbox.result import Result
from tests.conftest import SandboxFor
from tests.contract.conftest import error_of

FACTOR = 3


def helper(number: int) -> int:
    return number * FACTOR


def uses_its_module(number: int) -> int:
    return helper(number) + 1


def reads_the_clock() -> bool:
    return math.isfinite(math.pi)


async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def raises(message: str) -> None:
    raise LookupError(message)


FUNCTIONS: dict[str, tuple[Callable[[Sandbox], Result], Any]] = {
    "by name": (lambda box: box.call("statistics:mean", [1, 2, 3]), 2),
    "by a name with dots": (lambda box: box.call("os.path:join", "a", "b"), "a/b"),
    "a method by name": (lambda box: box.call("builtins:str.upper", "x"), "X"),
    "by import": (lambda box: box.call(math.gcd, 12, 18), 6),
    "by value": (lambda box: box.call(helper, 7), 21),
    "with what it uses": (lambda box: box.call(uses_its_module, 7), 22),
    "with an import": (lambda box: box.call(reads_the_clock), True),
    "a lambda": (lambda box: box.call(lambda: 2), 2),
    "a closure": (lambda box: box.call(_adder(5), 1), 6),
    "a coroutine function": (lambda box: box.call(later, 41), 42),
}


def _adder(amount: int) -> Callable[[int], int]:
    return lambda number: number + amount


@pytest.mark.parametrize(("call", "value"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_a_function_returns(box: Sandbox, call: Callable[[Sandbox], Result], value: object) -> None:
    assert call(box).unwrap() == value


def test_a_function_takes_keywords(box: Sandbox) -> None:
    assert box.call("json:dumps", {"b": 1, "a": 2}, sort_keys=True).value == '{"a": 2, "b": 1}'


def test_a_function_that_raises_is_an_error(box: Sandbox) -> None:
    result = box.call(raises, "gone")

    assert (result.status, result.error and result.error.message) == ("error", "gone")


@pytest.mark.parametrize("name", ["no_such_module:f", "json:no_such_function"])
def test_a_function_that_is_not_there_is_an_error(box: Sandbox, name: str) -> None:
    assert box.call(name).status == "error"


def test_a_command_runs(box: Sandbox) -> None:
    result = box.exec(["bash", "-c", "wc -l < /box/a.txt"], files={"a.txt": b"1\n2\n"})

    assert (result.status, result.stdout.strip()) == ("ok", "2")


@pytest.mark.parametrize("name", ["python", "python3"])
def test_a_python_that_a_program_starts_is_there_by_both_names(box: Sandbox, name: str) -> None:
    result = box.exec([name, "-c", "print(6 * 7)"])

    assert (result.status, result.stdout) == ("ok", "42\n")


@pytest.mark.differs("docker", "gvisor", reason="the packages of an image are its own")
def test_a_python_that_a_program_starts_has_the_packages_of_its_policy(
    sandbox_for: SandboxFor,
) -> None:
    box = sandbox_for(packages=InstalledPackages(reason="a test"))
    program = (
        "import subprocess, sys, pydantic\nsubprocess.check_call([sys.executable, '-c', {!r}])"
    )

    assert box.run(program.format("import pydantic")).unwrap() == 0
    assert box.exec(["python", "-c", "import pydantic"]).ok


def test_a_command_has_no_value(box: Sandbox) -> None:
    assert box.exec(["true"]).value is None


@pytest.mark.parametrize("code", [1, 2, 126, 255])
def test_the_exit_code_of_a_command_is_told(box: Sandbox, code: int) -> None:
    result = box.exec(["sh", "-c", f"exit {code}"])

    assert (result.status, result.exit_code) == ("exit", code)


def test_the_signal_of_a_command_is_told(box: Sandbox) -> None:
    result = box.exec(["sh", "-c", "kill -SEGV $$"])

    assert (result.status, result.signal) == ("signal", 11)


def test_a_command_that_is_not_found_exits_with_127(box: Sandbox) -> None:
    result = box.exec(["no-such-program"])

    assert (result.ok, result.exit_code) == (False, 127)


def test_a_command_that_is_not_found_is_named(box: Sandbox) -> None:
    result = box.exec(["no-such-program"])

    assert "no-such-program" in error_of(result).message


def test_a_file_that_is_no_program_exits_with_126(box: Sandbox) -> None:
    assert box.exec(["/etc/passwd"]).exit_code == 126


def test_a_script_that_was_handed_in_runs(box: Sandbox) -> None:
    assert box.exec(["sh", "run.sh"], files={"run.sh": "echo hi"}).stdout == "hi\n"


def test_words_of_a_command_are_no_shell(box: Sandbox) -> None:
    assert box.exec(["echo", "$HOME; ls *"]).stdout == "$HOME; ls *\n"

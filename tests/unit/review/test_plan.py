"""What is reviewed, and how it is called."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from sandbox import BadCall, CannotEnforce, Policy, Sandbox, Source
from sandbox.backends.docker import DockerBackend
from sandbox.backends.fake import FakeBackend
from sandbox.backends.view import Interpreter
from sandbox.call import Call, Command, Function
from sandbox.functions import function_call
from sandbox.review.places import Places
from sandbox.review.plan import (
    Given,
    NamedInput,
    plan_calls,
    plan_command,
    plan_function,
    plan_module,
    plan_script,
    plan_source,
)
from sandbox.review.subject import function_hash

PLACES = Places.of(Policy.load("review"), Interpreter.current())


def given(*arguments: str, **inputs: str) -> Given:
    named = [NamedInput(name, text.encode()) for name, text in inputs.items()]
    return Given(arguments=arguments, files={"kept.txt": b"x"}, inputs=named, places=PLACES)


def arguments_of(call: Call) -> list[Any]:
    match call:
        case Command(argv=argv):
            return list(argv[1:])
        case Source(arguments=words):
            return list(words)
        case Function(arguments=values):
            return list(values)
        case _:
            return []


def test_without_an_input_there_is_one_run() -> None:
    plan = plan_source("1", "tool.py", given("-v"))

    assert (plan.kind, plan.name, plan.arguments, plan.inputs) == (
        "program",
        "tool.py",
        ("-v",),
        ("",),
    )
    assert [(arguments_of(call), set(call.files)) for call in plan.calls] == [
        (["-v"], {"kept.txt"})
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-v",), ["-v", "a.csv"]),
        (("--in={}", "-v"), ["--in=a.csv", "-v"]),
        (("{}", "{}"), ["a.csv", "a.csv"]),
    ],
)
def test_an_input_comes_last_or_where_it_is_wanted(
    words: tuple[str, ...], expected: list[str]
) -> None:
    plan = plan_command("sort", given(*words, **{"a.csv": "1"}))

    (call,) = plan.calls
    assert arguments_of(call) == expected
    assert call.files == {"kept.txt": b"x", "a.csv": b"1"}
    assert plan.arguments == words


def test_each_input_is_a_call() -> None:
    plan = plan_command("sort", given(**{"a.csv": "1", "b.csv": "2"}))

    assert plan.inputs == ("a.csv", "b.csv")
    assert [arguments_of(call) for call in plan.calls] == [["a.csv"], ["b.csv"]]


@pytest.mark.parametrize(
    ("document", "arguments", "keywords"),
    [("[12, 18]", [12, 18], {}), ('{"x": 1}', [], {"x": 1}), ('"a"', ["a"], {})],
)
def test_a_functions_input_is_its_arguments(
    document: str, arguments: list[Any], keywords: dict[str, Any]
) -> None:
    (call,) = plan_function("math:gcd", given(**{"a.json": document})).calls

    assert isinstance(call, Function)
    assert (list(call.arguments), dict(call.keywords)) == (arguments, keywords)


def test_a_functions_arguments_are_json_or_else_text() -> None:
    (call,) = plan_function("math:gcd", given("12", "[1]", "Paris")).calls

    assert arguments_of(call) == [12, [1], "Paris"]


def test_a_functions_input_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadCall, match=r"a\.json: is no JSON"):
        plan_function("math:gcd", given(**{"a.json": "{"}))


def test_a_function_of_the_current_folder_comes_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def f(): return 1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    (call,) = plan_function("mine:f", given()).calls

    assert call.files["mine.py"] == b"def f(): return 1\n"


def test_a_package_of_the_current_folder_comes_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "a.py", "__pycache__/a.pyc"):
        (tmp_path / "mine" / name).write_text("def f(): return 1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    (call,) = plan_function("mine.a:f", given()).calls

    assert {name for name in call.files if name.startswith("mine")} == {
        "mine/__init__.py",
        "mine/a.py",
    }


def test_a_module_is_run_as_python_runs_it() -> None:
    plan = plan_module("json.tool", given("--help"))

    (call,) = plan.calls
    assert isinstance(call, Source)
    assert (plan.kind, call.arguments, "run_module('json.tool'" in call.source) == (
        "module",
        ["--help"],
        True,
    )


def test_a_script_of_an_installed_package_is_found() -> None:
    plan = plan_script("pytest", given("--version"))

    assert plan is not None
    assert (plan.kind, plan.name) == ("module", "pytest")


def test_what_no_package_has_is_no_script() -> None:
    assert plan_script("no-such-script", given()) is None


def test_calls_of_different_things_are_no_review() -> None:
    with pytest.raises(BadCall, match="a review is of one thing"):
        plan_calls([Source(source="1"), Source(source="2")], PLACES)


def test_no_call_is_no_review() -> None:
    with pytest.raises(BadCall, match="a review needs a call"):
        plan_calls([], PLACES)


def helper(number: int) -> float:
    return math.sqrt(number)


def test_a_function_sent_by_value_has_the_hash_that_a_toolset_compares() -> None:
    call = function_call(helper, [4], {}, Policy.load("review"))

    assert plan_calls([call], PLACES).hash == function_hash(helper)


def test_a_call_in_a_container_is_refused_to_be_watched() -> None:
    watch = partial(DockerBackend().watch, Source(source="1"), Policy.load("review"), None)

    with pytest.raises(CannotEnforce, match="use backend='subprocess'"):
        anyio.run(watch)


def test_what_cannot_watch_refuses_a_review() -> None:
    with Sandbox("review", backend=FakeBackend([])) as box, pytest.raises(CannotEnforce):
        box.review(Source(source="1"))

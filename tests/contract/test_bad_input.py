"""Bad input is refused before anything starts: the right exception, one line, what to do."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import BadCall, BadPolicy, CannotEnforce, Policy, Sandbox, SandboxError
from sandbox.policy import TIB, FileGrant, Hosts, ListedHostTools, NoPrograms
from tests.conftest import SandboxFor

Use = Callable[[Sandbox], object]

BAD_CALLS: dict[str, tuple[Use, str]] = {
    "a NUL in the source": (lambda box: box.run("x = 1\0"), "NUL at character 5"),
    "a lone surrogate in the source": (lambda box: box.run("'\ud800'"), "lone surrogate"),
    "a NUL in an argument": (lambda box: box.run("1", arguments=["a\0"]), "NUL"),
    "a NUL in the name": (lambda box: box.run("1", name="a\0"), "NUL"),
    "an input that is no name": (lambda box: box.run("1", inputs={"a b": 1}), "'a b'"),
    "an input that is a keyword": (lambda box: box.run("1", inputs={"class": 1}), "'class'"),
    "an input that is the interpreter's": (
        lambda box: box.run("1", inputs={"__builtins__": 1}),
        "'__builtins__'",
    ),
    "an input that is no JSON": (lambda box: box.run("1", inputs={"a": {1, 2}}), "JSON"),  # type: ignore[dict-item]  # the point of it
    "an input that is not finite": (lambda box: box.run("1", inputs={"a": float("nan")}), "JSON"),
    "an input with a lone surrogate": (lambda box: box.run("1", inputs={"a": "\ud800"}), "JSON"),
    "an input without end": (lambda box: box.run("1", inputs={"a": _endless()}), "JSON"),
    "more source than any program": (lambda box: box.run("#" * (17 << 20)), "source"),
    "an empty file name": (lambda box: box.run("1", files={"": b""}), "''"),
    "an absolute file name": (lambda box: box.run("1", files={"/etc/x": b""}), "'/etc/x'"),
    "a file name that goes up": (lambda box: box.run("1", files={"../x": b""}), "'../x'"),
    "a file name that goes up within": (lambda box: box.run("1", files={"a/../x": b""}), "a/../x"),
    "a file name with a dot": (lambda box: box.run("1", files={"./x": b""}), "'./x'"),
    "a file name with a NUL": (lambda box: box.run("1", files={"a\0b": b""}), "NUL"),
    "a file name with a lone surrogate": (lambda box: box.run("1", files={"\ud800": b""}), "lone"),
    "a folder as a file name": (lambda box: box.run("1", files={"a/": b""}), "'a/'"),
    "too long a file name": (lambda box: box.run("1", files={"x" * 256: b""}), "255 bytes"),
    "too deep a file name": (lambda box: box.run("1", files={"x/" * 50 + "y": b""}), "path"),
    "a file that is a folder too": (lambda box: box.run("1", files={"a": b"", "a/b": b""}), "'a'"),
    "a command that is a text": (lambda box: box.exec("ls -l"), "list of words"),
    "an empty command": (lambda box: box.exec([]), "list of words"),
    "a command of nothing": (lambda box: box.exec([""]), "list of words"),
    "a NUL in a command": (lambda box: box.exec(["echo", "a\0b"]), "NUL"),
    "a function without a module": (lambda box: box.call("mean"), "'module:function'"),
    "a function that is an expression": (lambda box: box.call("os:system('x')"), "module:function"),
    "an argument that is no JSON": (lambda box: box.call("json:dumps", object()), "JSON"),
    "a keyword that is no JSON": (lambda box: box.call("json:dumps", 1, indent={1}), "JSON"),
    "a function that holds a lock": (lambda box: box.call(_locked()), "cannot be sent"),
    "a function that holds a file": (lambda box: box.call(_with_a_file()), "cannot be sent"),
    "a method of a lock": (lambda box: box.call(threading.Lock().locked), "cannot be sent"),
    "no function at all": (lambda box: box.call(42), "42"),  # type: ignore[arg-type]  # ditto
}


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def _locked() -> Callable[[], bool]:
    lock = threading.Lock()

    def is_locked() -> bool:
        return lock.locked()

    return is_locked


def _with_a_file() -> Callable[[], str]:
    file = Path(__file__).open(encoding="utf-8")  # noqa: SIM115 - the function is to hold it
    file.close()
    return lambda: file.name


def refused(use: Callable[[], object]) -> SandboxError:
    """Do it and give the exception of ours that it must raise."""
    with pytest.raises(SandboxError) as caught:
        use()
    return caught.value


@pytest.mark.parametrize(("use", "words"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_a_bad_call_is_refused_by_name(box: Sandbox, use: Use, words: str) -> None:
    fault = refused(lambda: use(box))

    assert (type(fault), words in str(fault)) == (BadCall, True)


@pytest.mark.parametrize(("use", "words"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_a_refusal_of_a_call_is_one_line(box: Sandbox, use: Use, words: str) -> None:
    fault = refused(lambda: use(box))

    assert ("\n" in str(fault), fault.started, bool(words)) == (False, "no", True)


def test_a_command_where_no_program_may_run_is_denied(sandbox_for: SandboxFor) -> None:
    assert sandbox_for(programs=NoPrograms()).exec(["true"]).status == "denied"


DOCUMENTS: dict[str, tuple[str, str]] = {
    "a misspelt key": ("[quota]\nwall_second = 1.0\n", "wall_second"),
    "a misspelt section": ("[qouta]\n", "qouta"),
    "a text for a number": ("[quota]\nmemory_bytes = '1GiB'\n", "memory_bytes"),
    "zero seconds": ("[quota]\nwall_seconds = 0.0\n", "wall_seconds"),
    "without end": ("[quota]\nwall_seconds = inf\n", "wall_seconds"),
    "not TOML": ("[quota\n", "policy.toml"),
    "an unknown kind": ("[network]\nkind = 'some'\n", "network"),
    "wider without a reason": ("extends = 'strict'\n[quota]\nwall_seconds = 60.0\n", "reason"),
    "an unknown parent": ("extends = 'no-such'\n", "no-such"),
}


@pytest.mark.parametrize(("text", "words"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_bad_policy_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    document = tmp_path / "policy.toml"
    document.write_text(text)
    fault = refused(lambda: Sandbox(document))

    assert (type(fault), words in str(fault), "\n" in str(fault)) == (BadPolicy, True, False)


@pytest.mark.parametrize("name", ["no-such-preset", "./no/such/file.toml", ""])
def test_a_policy_that_is_not_there_is_refused(name: str) -> None:
    fault = refused(lambda: Sandbox(name))

    assert (type(fault), fault.started) == (BadPolicy, "no")


UNENFORCEABLE: dict[str, tuple[dict[str, Any], str]] = {
    "hosts": ({"network": Hosts(allow=("example.org",))}, "network.kind 'hosts'"),
    "host tools": ({"host_tools": ListedHostTools(allow=("tool",))}, "host_tools"),
    "more memory than there is": ({"memory_bytes": TIB}, "quota.memory_bytes"),
    "a file that is not there": (
        {"files": (FileGrant(path="/no/such/file", at="/data", reason="a test"),)},
        "/no/such/file",
    ),
}


@pytest.mark.parametrize(("changes", "words"), UNENFORCEABLE.values(), ids=UNENFORCEABLE.keys())
def test_what_cannot_be_enforced_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with Sandbox(Policy().widen("a test", **changes)) as box:
        fault = refused(lambda: box.run("1"))

    assert (type(fault), words in str(fault), fault.started) == (CannotEnforce, True, "no")


def test_a_preload_that_is_not_there_is_refused_by_name() -> None:
    with Sandbox(preload=["no_such_module"]) as box:
        fault = refused(lambda: box.run("1"))

    assert ("no_such_module" in str(fault), "\n" in str(fault), fault.started) == (
        True,
        False,
        "no",
    )


def test_an_unknown_backend_is_refused_by_name() -> None:
    fault = refused(lambda: Sandbox(backend="dokcer"))  # type: ignore[arg-type]  # the point of it

    assert (type(fault), "'dokcer'" in str(fault)) == (BadCall, True)


def test_a_refused_call_does_not_spoil_the_next(box: Sandbox) -> None:
    refused(lambda: box.run("\0"))

    assert box.run("42").value == 42

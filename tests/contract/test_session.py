"""A session keeps what its turns made: names, imports, files; each turn gives its own value."""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from sandbox import AsyncSandbox, BadCall, Policy, Sandbox, SessionLost
from sandbox.session import Session
from tests.conftest import SandboxFor
from tests.contract.conftest import NewBackend

each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])


@pytest.fixture
def turns(box: Sandbox) -> Generator[Session]:
    """A session of the policy "strict"."""
    with box.session() as session:
        yield session


@contextmanager
def prepared(box: Sandbox, source: str) -> Generator[Session]:
    """A session in which a first turn went well."""
    with box.session() as session:
        session.run(source).unwrap()
        yield session


KEPT = {
    "a name": ("x = 20", "x + 22", 42),
    "a changed name": ("x = [1]\nx.append(41)", "sum(x)", 42),
    "an import": ("import math", "math.floor(42.5)", 42),
    "a function": ("def double(n):\n    return 2 * n", "double(21)", 42),
    "a class": ("class Answer:\n    value = 42", "Answer().value", 42),
    "a file": ("open('kept', 'w').write('42')", "int(open('kept').read())", 42),
    "the folder": ("import os\nos.mkdir('d')\nos.chdir('d')", "os.getcwd()", "/box/d"),
    "a thread": (
        (
            "import threading\nheld = threading.Event()\n"
            "threading.Thread(target=held.wait, daemon=True).start()"
        ),
        "threading.active_count()",
        2,
    ),
    "what is its main module": ("x = 42", "import __main__\n__main__.x", 42),
}


@pytest.mark.parametrize(("first", "then", "value"), KEPT.values(), ids=KEPT.keys())
def test_what_one_turn_made_is_there_in_the_next(
    box: Sandbox, first: str, then: str, value: object
) -> None:
    with prepared(box, first) as session:
        assert session.run(then).unwrap() == value


def test_a_name_that_no_turn_made_is_not_there(turns: Session) -> None:
    error = turns.run("x").error

    assert (error and error.type) == "NameError"


@pytest.mark.parametrize("left", ["1 / 0", "raise SystemExit(3)", "1 +"])
def test_what_was_made_before_a_turn_that_raised_is_kept(box: Sandbox, left: str) -> None:
    with prepared(box, "x = 42") as session:
        failed = session.run(left)

        assert (failed.status, session.run("x").value) == ("error", 42)


def test_inputs_are_names_from_now_on(box: Sandbox) -> None:
    with box.session() as session:
        session.run("", inputs={"rows": [1, 41]}).unwrap()

        assert session.run("sum(rows)").value == 42


def test_each_turn_has_its_own_output(turns: Session) -> None:
    said = [turns.run(f"print({number})").stdout for number in range(3)]

    assert said == ["0\n", "1\n", "2\n"]


def test_a_traceback_shows_the_line_of_the_turn_that_it_is_in(box: Sandbox) -> None:
    with prepared(box, "def fail():\n    raise LookupError  # here") as session:
        error = session.run("fail()").error

    assert error
    assert 'File "turn-1.py", line 2' in error.traceback
    assert "# here" in error.traceback


def test_output_is_given_while_the_turn_runs(turns: Session) -> None:
    heard: list[tuple[str, bytes]] = []

    def hear(stream: str, chunk: bytes) -> None:
        heard.append((stream, chunk))

    turns.run("import os\nos.write(2, b'now') == 3", on_output=hear)

    assert heard == [("stderr", b"now")]


def test_a_listener_of_one_turn_hears_nothing_of_the_next(turns: Session) -> None:
    heard: list[bytes] = []
    turns.run("import os\nos.write(1, b'first')", on_output=lambda _, chunk: heard.append(chunk))
    turns.run("print('next')")

    assert heard == [b"first"]


VALUES = {
    "a number": "6 * 7",
    "nothing": "None",
    "a list": "[1, [2.5, 'three'], {'four': None}]",
    "text of any script": "'\u00e4\u4e2d\U0001f600'",
    "a tuple, as JSON has it": "[*(1, 2)]",
}


@pytest.mark.parametrize("source", VALUES.values(), ids=VALUES.keys())
def test_data_comes_out_as_it_is(turns: Session, source: str) -> None:
    assert turns.run(source).unwrap() == eval(source)  # noqa: S307 - the test's own text


NOT_JSON = {
    "a set in a list": "[{1}]",
    "not a number": "float('nan')",
    "half a surrogate pair": "'\\ud800'",
    "keys that collide": "{1: 'a', '1': 'b'}",
    "a list in itself": "x = []\nx.append(x)\nx",
}


@pytest.mark.parametrize("source", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_data_that_is_no_json_is_invalid(turns: Session, source: str) -> None:
    assert turns.run(source).status == "invalid"


def test_a_value_just_over_its_quota_is_invalid(sandbox_for: SandboxFor) -> None:
    with sandbox_for(result_bytes=1000).session() as session:
        found = [session.run(f"'x' * {size}").status for size in (900, 1000)]

    assert found == ["ok", "invalid"]


def test_the_turn_after_an_invalid_one_works(turns: Session) -> None:
    turns.run("[{1}]")

    assert turns.run("42").value == 42


def test_without_a_wish_for_a_value_there_is_none(turns: Session) -> None:
    result = turns.run("6 * 7", expect_value=False)

    assert (result.value, dict(result.display)) == (None, {})


CALLS: dict[str, tuple[str, tuple[object, ...], dict[str, object], int]] = {
    "by name": ("math:factorial", (5,), {}, 120),
    "with keywords": ("builtins:int", ("2a",), {"base": 16}, 42),
}


@pytest.mark.parametrize(("name", "given", "keywords", "value"), CALLS.values(), ids=CALLS.keys())
def test_a_function_is_called_by_name(
    turns: Session, name: str, given: tuple[object], keywords: dict[str, object], value: int
) -> None:
    assert turns.call(name, *given, **keywords).unwrap() == value


def test_a_function_that_a_turn_made_is_called_by_name(box: Sandbox) -> None:
    with prepared(box, "def add(a, b):\n    return a + b") as session:
        assert session.call("__main__:add", 40, b=2).unwrap() == 42


def test_a_function_of_the_host_is_called_by_value(turns: Session) -> None:
    offset = 2

    def add(number: int) -> int:
        return number + offset

    assert turns.call(add, 40).unwrap() == 42


def test_a_coroutine_is_awaited(turns: Session) -> None:
    async def double(number: int) -> int:
        return 2 * number

    assert turns.call(double, 21).unwrap() == 42


def test_arguments_that_are_no_json_are_refused_before_the_turn(turns: Session) -> None:
    with pytest.raises(BadCall):
        turns.call("builtins:len", {1})


COMMANDS = {
    "it ended well": (["sh", "-c", "exit 0"], ("ok", 0, None)),
    "an exit code": (["sh", "-c", "exit 3"], ("exit", 3, None)),
    "the largest exit code": (["sh", "-c", "exit 255"], ("exit", 255, None)),
    "a signal": (["sh", "-c", "kill -9 $$"], ("signal", None, 9)),
    "no such program": (["no-such-program"], ("error", None, None)),
}


@pytest.mark.parametrize(("argv", "end"), COMMANDS.values(), ids=COMMANDS.keys())
def test_the_end_of_a_program_is_told(turns: Session, argv: list[str], end: object) -> None:
    result = turns.exec(argv)

    assert (result.status, result.exit_code, result.signal) == end


@pytest.mark.parametrize("argv", [argv for argv, _ in COMMANDS.values()], ids=COMMANDS.keys())
def test_a_session_outlives_its_programs(box: Sandbox, argv: list[str]) -> None:
    with prepared(box, "x = 42") as session:
        session.exec(argv)

        assert session.run("x").value == 42


def test_a_program_has_its_own_standard_input(turns: Session) -> None:
    said = [turns.exec(["cat"], stdin=text).stdout for text in ("first", "", "third")]

    assert said == ["first", "", "third"]


def test_a_program_is_given_all_bytes(turns: Session) -> None:
    every = bytes(range(256)) * 1000

    assert turns.exec(["cat"], stdin=every).stdout_bytes == every


def test_a_program_sees_the_files_of_the_turns(box: Sandbox) -> None:
    with prepared(box, "open('note', 'w').write('seen')") as session:
        assert session.exec(["cat", "note"]).stdout == "seen"


def test_a_policy_without_programs_denies_them_and_keeps_the_session(
    new_backend: NewBackend,
) -> None:
    policy = Policy.model_validate({"programs": {"kind": "none"}})
    with Sandbox(policy, backend=new_backend()) as box, box.session() as session:
        denied = session.exec(["true"])

        assert (denied.status, session.run("42").value) == ("denied", 42)


def test_a_session_may_have_a_policy_of_its_own(box: Sandbox) -> None:
    small = box.policy.widen("a test", output_bytes=100)
    with box.session(small) as session:
        assert (session.policy, session.run("print('x' * 200)").status) == (small, "output_limit")


def test_a_result_names_the_policy_of_the_session(box: Sandbox) -> None:
    small = box.policy.widen("a test", output_bytes=100)
    with box.session(small) as session:
        assert session.run("1").policy == small.fingerprint


def test_a_session_that_was_not_opened_says_how(box: Sandbox) -> None:
    with pytest.raises(SessionLost, match=r"with box\.session"):
        box.session().run("1")


def test_a_session_that_was_closed_takes_no_turn(box: Sandbox) -> None:
    with box.session() as session:
        pass

    with pytest.raises(SessionLost):
        session.run("1")


def test_closing_a_session_twice_does_nothing(box: Sandbox) -> None:
    with box.session() as session:
        session.close()

    assert box.run("42").value == 42


@each_loop
def test_turns_of_two_tasks_run_one_at_a_time(new_backend: NewBackend, loop: str) -> None:
    async def test() -> None:
        ends: list[object] = []
        async with AsyncSandbox(backend=new_backend()) as box, box.session() as session:

            async def count() -> None:
                turn = "n = globals().get('n', 0)\nfor _ in range(9999): pass\nn += 1\nn"
                ends.append((await session.run(turn)).value)

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(count)

        assert sorted(map(str, ends)) == ["1", "2", "3", "4", "5"]

    anyio.run(test, backend=loop)


@pytest.mark.differs("gvisor", reason="fifty kernels of its own are too much for two processors")
@pytest.mark.slow
def test_fifty_sessions_at_once_all_answer(new_backend: NewBackend) -> None:
    async def test() -> None:
        async with AsyncSandbox(backend=new_backend(), parallel=50) as box:
            answers: dict[int, object] = {}

            async def talk(number: int) -> None:
                async with box.session() as session:
                    (await session.run(f"x = {number}")).unwrap()
                    opened.append(number)
                    if len(opened) == 50:
                        all_open.set()
                    await all_open.wait()
                    answers[number] = (await session.run("x")).value

            opened: list[int] = []
            all_open = anyio.Event()
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(partial(talk, number))

            assert answers == {number: number for number in range(50)}

    anyio.run(test)


@pytest.mark.differs("docker", "gvisor", reason="they are for forks, which containers have not")
def test_large_objects_lie_in_huge_pages_where_the_host_gives_them(
    sandbox_for: SandboxFor,
) -> None:
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    gives = mode.exists() and "[never]" not in mode.read_text(encoding="ascii")
    program = """
import os
large = b"x" * (64 << 20)
lines = [line.split() for line in open("/proc/self/smaps") if line.startswith("AnonHugePages")]
[sum(int(line[1]) for line in lines) > 32 << 10, "GLIBC_TUNABLES" in os.environ]
"""
    with sandbox_for().session() as session:
        assert session.run(program).unwrap() == [gives, False]

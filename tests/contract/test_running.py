"""What source is given, how it ends, and what comes back."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox import CallFailed, Command, Sandbox, Source
from sandbox.result import Result
from sandbox.wire import Json
from tests.contract.conftest import error_of

VALUES: dict[str, tuple[str, Any]] = {
    "the last expression": ("x = 6\nx * 7", 42),
    "no expression": ("x = 1", None),
    "an empty program": ("", None),
    "only a comment": ("# nothing", None),
    "a text": ("'é 漢 😀'", "é 漢 😀"),
    "a tuple as a list": ("(1, (2, 3))", [1, [2, 3]]),
    "numbers as keys": ("{7: 2, None: 3, True: 4}", {"7": 2, "null": 3, "true": 4}),
    "a large integer": ("10 ** 100", 10**100),
    "a float": ("0.1 + 0.2", 0.1 + 0.2),
    "a string with a NUL": ("'a\\0b'", "a\0b"),
    "an enumeration": ("import enum\nenum.IntEnum('E', 'a b').b", 2),
    "nested": ("{'a': [{'b': [None, True]}]}", {"a": [{"b": [None, True]}]}),
    "a semicolon": ("x = 1; x + 1", 2),
    "a lambda's value": ("(lambda n: n + 1)(1)", 2),
    "a docstring": ("'only this'", "only this"),
}

NO_JSON = {
    "a set": "{1, 2}",
    "an object": "object()",
    "bytes": "b'x'",
    "NaN": "float('nan')",
    "infinity": "[1e999]",
    "a lone surrogate": "'\\ud800'",
    "a cycle": "x = []\nx.append(x)\nx",
    "too many digits": "10 ** 5000",
    "keys that are the same in JSON": "{1: 'a', '1': 'b'}",
    "a dict that fails": "class D(dict):\n    def items(self): raise ValueError\nD(a=1)",
}

EXITS: dict[str, tuple[str, str, int]] = {
    "sys.exit()": ("import sys; sys.exit()", "ok", 0),
    "sys.exit(0)": ("import sys; sys.exit(0)", "ok", 0),
    "sys.exit(3)": ("import sys; sys.exit(3)", "exit", 3),
    "sys.exit(-1)": ("import sys; sys.exit(-1)", "exit", 255),
    "sys.exit(256)": ("import sys; sys.exit(256)", "ok", 0),
    "sys.exit(text)": ("import sys; sys.exit('why')", "exit", 1),
    "exit(4)": ("exit(4)", "exit", 4),
    "raise SystemExit": ("raise SystemExit", "ok", 0),
    "os._exit(5)": ("import os; os._exit(5)", "exit", 5),
}

RAISED: dict[str, tuple[str, str]] = {
    "a division": ("1 / 0", "ZeroDivisionError"),
    "a syntax error": ("def f(:\n    pass", "SyntaxError"),
    "bad indentation": ("if 1:\nx", "IndentationError"),
    "an unknown name": ("nothing", "NameError"),
    "too deep a recursion": ("def f(): f()\nf()", "RecursionError"),
    "an assertion": ("assert False, 'no'", "AssertionError"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a TimeoutError of its own": ("raise TimeoutError('mine')", "TimeoutError"),
    "a MemoryError of its own": ("raise MemoryError", "MemoryError"),
    "a message that fails": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "E",
    ),
    "a message with a lone surrogate": ("raise ValueError('\\ud800')", "ValueError"),
    "a group": ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup"),
    "a closed stderr": ("import sys; sys.stderr.close(); 1 / 0", "ZeroDivisionError"),
    "no stderr": ("import sys; sys.stderr = None; 1 / 0", "ZeroDivisionError"),
    "a closed descriptor 2": ("import os; os.close(2); 1 / 0", "ZeroDivisionError"),
    "a stderr that fails": (
        "import sys\nclass S:\n    def write(self, _): raise OSError\nsys.stderr = S()\n1 / 0",
        "ZeroDivisionError",
    ),
    "the end of input": ("input()", "EOFError"),
    "a BaseException": ("class B(BaseException): pass\nraise B", "B"),
}


@pytest.mark.parametrize(("source", "value"), VALUES.values(), ids=VALUES.keys())
def test_the_value_is(box: Sandbox, source: str, value: object) -> None:
    assert box.run(source).unwrap() == value


@pytest.mark.parametrize("source", NO_JSON.values(), ids=NO_JSON.keys())
def test_a_value_that_is_not_json_is_invalid(box: Sandbox, source: str) -> None:
    assert box.run(source).status == "invalid"


@pytest.mark.parametrize(("source", "status", "code"), EXITS.values(), ids=EXITS.keys())
def test_an_exit_is_told_exactly(box: Sandbox, source: str, status: str, code: int) -> None:
    result = box.run(source)

    assert (result.status, result.exit_code) == (status, code)


def test_the_words_of_an_exit_go_to_stderr(box: Sandbox) -> None:
    assert box.run("import sys; sys.exit('why')").stderr == "why\n"


@pytest.mark.parametrize(("source", "kind"), RAISED.values(), ids=RAISED.keys())
def test_what_the_code_raised_is_an_error_of_its_type(box: Sandbox, source: str, kind: str) -> None:
    result = box.run(source)

    assert (result.status, result.error and result.error.type) == ("error", kind)


@pytest.mark.parametrize("number", [6, 9, 11, 15, 34])
def test_a_signal_is_told_exactly(box: Sandbox, number: int) -> None:
    program = f"""
import os, signal
if {number} not in (9, 34):
    signal.signal({number}, signal.SIG_DFL)
os.kill(os.getpid(), {number})
"""
    result = box.run(program)

    assert (result.status, result.signal, result.exit_code) == ("signal", number, None)


def test_an_error_has_the_traceback_of_the_program(box: Sandbox) -> None:
    result = box.run("def f():\n    return 1 / 0\nf()")

    assert 'File "program.py", line 2, in f' in error_of(result).traceback


@pytest.mark.parametrize("source", ["1 / 0", "def f(:", "import nothing_there", "input()"])
def test_a_traceback_shows_no_frame_of_the_runner(box: Sandbox, source: str) -> None:
    result = box.run(source)

    assert "python.py" not in error_of(result).traceback
    assert "ast.py" not in error_of(result).traceback


def test_a_traceback_goes_to_stderr_too(box: Sandbox) -> None:
    result = box.run("1 / 0")

    assert result.stderr == error_of(result).traceback


def test_inputs_are_names(box: Sandbox) -> None:
    assert box.run("sum(xs)", inputs={"xs": [1, 2, 3]}).value == 6


def test_inputs_keep_their_json(box: Sandbox) -> None:
    given: dict[str, Json] = {"a": None, "b": [True, 1.5, "é😀\0"], "c": {"d": {}}}

    assert box.run("[a, b, c]", inputs=given).value == list(given.values())


def test_arguments_and_name_are_argv(box: Sandbox) -> None:
    result = box.run("import sys\nsys.argv", arguments=["a", "b c", "-é"], name="tool.py")

    assert result.value == ["tool.py", "a", "b c", "-é"]


def test_standard_input_is_read_to_its_end(box: Sandbox) -> None:
    assert box.run("import sys\nsys.stdin.read()", stdin="one\ntwo\n").value == "one\ntwo\n"


@pytest.mark.slow
def test_a_large_standard_input_comes_whole(box: Sandbox) -> None:
    sent = bytes(range(256)) * 40_000

    assert box.exec(["wc", "-c"], stdin=sent).stdout.strip() == str(len(sent))


def test_a_standard_input_that_nobody_reads_holds_nothing_up(box: Sandbox) -> None:
    assert box.run("42", stdin=bytes(1 << 22)).value == 42


def test_files_go_in(box: Sandbox) -> None:
    files: dict[str, str | bytes] = {"a.txt": "text", "deep/er/b.bin": b"\0\xff"}
    program = "[open('/box/a.txt').read(), list(open('deep/er/b.bin', 'rb').read())]"

    assert box.run(program, files=files).value == ["text", [0, 255]]


def test_files_come_out(box: Sandbox) -> None:
    program = "import os\nos.makedirs('x/y')\nopen('x/y/é', 'wb').write(b'\\0\\xff')"

    assert box.run(program).files == {"x/y/é": b"\0\xff"}


def test_a_changed_input_file_comes_out_changed(box: Sandbox) -> None:
    result = box.run("open('a', 'a').write('2')", files={"a": "1"})

    assert result.files == {"a": b"12"}


def test_a_module_given_as_a_file_can_be_imported(box: Sandbox) -> None:
    files = {"tool.py": "def double(n): return 2 * n", "pack/__init__.py": "", "pack/m.py": "x = 1"}

    assert box.run("import tool, pack.m\ntool.double(21) + pack.m.x", files=files).value == 43


def test_the_program_is_the_main_module(box: Sandbox) -> None:
    program = "import sys\n[__name__, __file__, sys.modules['__main__'].__dict__ is globals()]"

    assert box.run(program).value == ["__main__", "program.py", True]


def test_a_call_finds_nothing_of_the_one_before(box: Sandbox) -> None:
    box.run("import builtins, os\nbuiltins.mine = 1\nos.environ['MINE'] = '1'\nopen('f', 'w')")
    program = "import builtins, os\n[hasattr(builtins, 'mine'), 'MINE' in os.environ, os.listdir()]"

    assert box.run(program).value == [False, False, []]


def test_a_call_made_before_can_be_executed(box: Sandbox) -> None:
    calls = (Source(source="print('a')"), Command(argv=["echo", "a"]))

    assert [box.execute(call).stdout for call in calls] == ["a\n", "a\n"]


def test_output_is_delivered_while_the_call_runs(box: Sandbox) -> None:
    seen: list[tuple[str, bytes]] = []
    program = "import sys\nprint('out')\nprint('err', file=sys.stderr)"
    box.run(program, on_output=lambda stream, chunk: seen.append((stream, chunk)))

    assert b"".join(chunk for stream, chunk in seen if stream == "stdout") == b"out\n"


@pytest.mark.slow
def test_output_is_delivered_before_the_end(box: Sandbox) -> None:
    seen: list[bytes] = []
    program = "import time\nprint('now', flush=True)\ntime.sleep(60)"
    result = box.run(program, on_output=lambda _, chunk: seen.append(chunk))

    assert (result.status, b"".join(seen)) == ("timeout", b"now\n")


def test_binary_output_is_kept(box: Sandbox) -> None:
    program = "import os\nos.write(1, bytes(range(256)))"

    assert box.run(program).stdout_bytes == bytes(range(256))


def test_faulty_text_is_replaced(box: Sandbox) -> None:
    assert box.run("import os\nos.write(1, b'a\\xffb')").stdout == "a�b"


def test_output_in_unicode_is_utf8(box: Sandbox) -> None:
    assert box.run("print('é 漢 😀')").stdout == "é 漢 😀\n"


PARTLY: dict[str, str] = {
    "error": "1 / 0",
    "exit": "import os; os._exit(3)",
    "signal": "import os; os.kill(os.getpid(), 9)",
    "memory_limit": "x = bytearray(1 << 29)",
    "output_limit": "while True: print('x' * 10_000)",
    "invalid": "object()",
}


@pytest.mark.slow
@pytest.mark.parametrize(("status", "end"), PARTLY.items(), ids=PARTLY.keys())
def test_output_before_a_bad_end_is_there(box: Sandbox, status: str, end: str) -> None:
    result = box.run(f"print('so far')\n{end}")

    assert (result.status, result.stdout[:6]) == (status, "so far")


def test_a_child_that_falls_off_the_end_is_not_the_call(box: Sandbox) -> None:
    program = "import os\nchild = os.fork()\nif child: os.wait()\n'parent' if child else 'child'"

    assert box.run(program).value == "parent"


def test_a_child_that_raises_is_not_the_call(box: Sandbox) -> None:
    program = "import os\nif os.fork() == 0: 1 / 0\nos.wait()\n42"

    assert box.run(program).value == 42


def test_threads_that_outlive_main_are_waited_for(box: Sandbox) -> None:
    program = """
import threading, time
def late():
    time.sleep(0.05)
    print("late")
threading.Thread(target=late).start()
"""
    assert box.run(program).stdout == "late\n"


def test_exit_handlers_run(box: Sandbox) -> None:
    assert box.run("import atexit\natexit.register(print, 'bye')\n42").stdout == "bye\n"


def test_an_exit_handler_that_fails_changes_nothing(box: Sandbox) -> None:
    program = "import atexit\natexit.register(lambda: 1 / 0)\n42"

    assert box.run(program).value == 42


def test_unwrap_gives_the_value(box: Sandbox) -> None:
    assert box.run("6 * 7").unwrap() == 42


def test_unwrap_raises_for_anything_but_ok(box: Sandbox) -> None:
    with pytest.raises(CallFailed, match="error: ZeroDivisionError: division by zero"):
        box.run("1 / 0").unwrap()


ROUND_TRIPS = {
    "ok": "print('é')\nopen('f', 'wb').write(b'\\xff')\n{'a': [1.5, None]}",
    "error": "raise ValueError('\\0 é')",
    "binary": "import os\nos.write(2, b'\\xff\\0')",
}


@pytest.mark.parametrize("source", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_a_result_survives_json(box: Sandbox, source: str) -> None:
    result = box.run(source)

    assert Result.from_json(json.dumps(json.loads(result.to_json()))) == result


def test_calls_run_from_many_threads_at_once(box: Sandbox) -> None:
    def run(number: int) -> object:
        return box.run(f"{number}").value

    with ThreadPoolExecutor(6) as threads:
        values = list(threads.map(run, range(24)))

    assert values == list(range(24))

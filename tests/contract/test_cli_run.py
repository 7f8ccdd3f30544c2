"""`sandbox run` and `sandbox exec`, as a shell meets them, with real guests."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path
from typing import IO, cast

import pytest

from sandbox.backends.leftovers import find_running
from sandbox.result import Result
from tests.contract.command_line import ARGV, MOST_SECONDS, sandbox, started

pytestmark = pytest.mark.slow  # each test starts an interpreter, and that one a zygote

WAITS = "import time\nprint('ready')\ntime.sleep(60)"


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    return cast("IO[bytes]", process.stdout).readline()


def last_words(process: subprocess.Popen[bytes]) -> bytes:
    return cast("IO[bytes]", process.stderr).read()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        pytest.param(["run", "-c", "1"], 0, id="ok"),
        pytest.param(["run", "-c", "1 / 0"], 1, id="error"),
        pytest.param(["run", "-c", "raise SystemExit(7)"], 7, id="exit"),
        pytest.param(["run", "-c", "import os; os.abort()"], 134, id="signal"),
        pytest.param(["run", "--timeout", "0.5", "-c", "while True: pass"], 124, id="timeout"),
        pytest.param(["run", "--cpu-seconds", "1", "-c", "while True: pass"], 124, id="cpu"),
        pytest.param(["run", "--memory", "64MiB", "-c", "x = b'x' * (1 << 30)"], 137, id="memory"),
        pytest.param(["run", "--output", "1KiB", "-c", "print('x' * 9999)"], 1, id="output"),
        pytest.param(["run", "-c", "object()"], 1, id="invalid"),
        pytest.param(["exec", "--", "sh", "-c", "exit 3"], 3, id="program"),
        pytest.param(["exec", "--", "no-such-program"], 127, id="no program"),
    ],
)
def test_the_exit_status_says_the_verdict(words: list[str], status: int) -> None:
    assert sandbox(*words).returncode == status


def test_a_program_that_the_policy_denies_is_126(tmp_path: Path) -> None:
    document = tmp_path / "closed.toml"
    document.write_text('extends = "strict"\nprograms = {kind = "none"}\n')
    assert sandbox("exec", "--policy", str(document), "--", "true").returncode == 126


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(["-c", "1"], "", id="ok"),
        pytest.param(["-c", "raise SystemExit(7)"], "sandbox: exit: exit code 7\n", id="exit"),
    ],
)
def test_only_a_verdict_that_is_not_ok_is_a_line_on_stderr(words: list[str], line: str) -> None:
    assert sandbox("run", *words).stderr == line


def test_a_timeout_names_its_quota_and_the_option_that_gives_more() -> None:
    line = sandbox("run", "--timeout", "0.5", "-c", "while True: pass").stderr
    expected = r"sandbox: timeout: over quota\.wall_seconds = 0\.5 \(ran .* s\): see --timeout\n"
    assert re.fullmatch(expected, line)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        pytest.param("print('six'); 6 * 7", "six\n42\n", id="number"),
        pytest.param("{'é': [1.5, None]}", '{"é": [1.5, null]}\n', id="JSON"),
        pytest.param("print('six')", "six\n", id="none"),
    ],
)
def test_the_value_of_code_comes_after_its_output(code: str, output: str) -> None:
    assert sandbox("run", "-c", code).stdout == output


def test_the_value_of_a_file_is_not_printed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nsys.stdout.write('x')")
    assert sandbox("run", str(program)).stdout == "x"


def test_a_file_gets_the_words_behind_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.argv)")
    done = sandbox("run", str(program), "--timeout", "-x")
    assert done.stdout == "['program.py', '--timeout', '-x']\n"


def test_a_dash_runs_standard_input() -> None:
    assert sandbox("run", "-", "a", stdin="import sys; sys.argv[1:]").stdout == '["a"]\n'


@pytest.mark.parametrize(
    ("options", "output"),
    [
        pytest.param([], "hello", id="by default"),
        pytest.param(["--stdin"], "hello", id="asked for"),
        pytest.param(["--no-stdin"], "", id="refused"),
    ],
)
def test_a_pipe_reaches_the_program(options: list[str], output: str) -> None:
    assert sandbox("exec", *options, "--", "cat", stdin="hello").stdout == output


def test_a_file_reaches_the_program_as_standard_input(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"\0hello")
    with (tmp_path / "input").open("rb") as source:
        done = subprocess.run(
            [*ARGV, "exec", "--", "cat"], stdin=source, capture_output=True, check=True
        )
    assert done.stdout == b"\0hello"


def test_inputs_are_names_in_the_program() -> None:
    done = sandbox("run", "--input", "xs=[1, 2]", "--input", "y=3", "-c", "sum(xs) + y")
    assert done.stdout == "6\n"


def test_files_go_in_under_the_name_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "a:b").write_text("1")
    local = str(tmp_path / "a:b")
    done = sandbox("exec", "--file", f"{local}:in/c", "--file", local, "--", "cat", "in/c", "a:b")
    assert done.stdout == "11"


def test_only_files_that_the_call_made_come_out(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("1")
    folder = tmp_path / "out"
    code = "import os; os.makedirs('a'); open('a/made', 'w').write('x'); None"
    sandbox("run", "--file", str(tmp_path / "given"), "--out", str(folder), "-c", code)
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == ["a", "a/made"]


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("mine")
    done = sandbox("exec", "--out", str(tmp_path), "--", "touch", "made")
    assert (done.returncode, (tmp_path / "made").read_text()) == (125, "mine")


def test_json_is_the_whole_result_and_nothing_else() -> None:
    done = sandbox("run", "--json", "-c", "print('x'); [6 * 7]")
    result = Result.from_json(done.stdout)
    assert (result.value, result.stdout) == ([42], "x\n")


def test_json_has_the_exit_status_of_the_verdict() -> None:
    done = sandbox("run", "--json", "-c", "1 / 0")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (1, "error")


def test_an_option_may_widen_the_policy() -> None:
    code = "print('x' * 3_000_000)"
    assert sandbox("run", "--output", "4MiB", "-c", code).returncode == 0


def test_output_comes_while_the_program_runs() -> None:
    with started("run", "--timeout", "50", "-c", WAITS) as process:
        assert first_line(process) == b"ready\n"


def test_output_is_passed_on_as_bytes() -> None:
    code = "import os; os.write(1, bytes(range(256))); None"
    done = subprocess.run([*ARGV, "run", "-c", code], capture_output=True, check=True)
    assert done.stdout == bytes(range(256))


def test_a_terminal_gets_no_control_sequences() -> None:
    ours, theirs = pty.openpty()
    argv = [*ARGV, "exec", "--", "printf", r"\033[31mred"]
    subprocess.run(argv, stdin=theirs, stdout=theirs, check=True, timeout=MOST_SECONDS)
    shown = os.read(ours, 100)
    os.close(ours)
    os.close(theirs)
    assert shown == rb"\x1b[31mred"


def test_an_interrupt_kills_the_call_without_a_traceback() -> None:
    with started("run", "--timeout", "50", "-c", WAITS) as process:
        first_line(process)
        process.send_signal(signal.SIGINT)
        assert (process.wait(MOST_SECONDS), last_words(process)) == (130, b"")


def test_an_interrupt_leaves_nothing() -> None:
    with started("run", "--timeout", "50", "-c", WAITS) as process:
        first_line(process)
        process.send_signal(signal.SIGINT)
        process.wait(MOST_SECONDS)
        assert process.pid not in {running.owner_pid for running in find_running()}


def test_a_reader_that_goes_ends_the_call_without_a_traceback() -> None:
    code = "while True: print('x' * 1000)"
    with started("run", "--timeout", "50", "--output", "1GiB", "-c", code) as process:
        first_line(process)
        cast("IO[bytes]", process.stdout).close()
        assert (process.wait(MOST_SECONDS), last_words(process)) == (141, b"")


def test_a_reader_that_does_not_read_does_not_stop_the_clock() -> None:
    code = "import time\nprint('x' * 500_000)\ntime.sleep(60)"
    with started("run", "--timeout", "1", "-c", code) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        first_line(process)
        assert b" (ran 1." in last_words(process)


def test_output_that_cannot_be_written_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*ARGV, "run", "-c", "print(1)"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr.count(b"\n")) == (125, 1)


@pytest.mark.parametrize("closed", [0, 1, 2], ids=["stdin", "stdout", "stderr"])
def test_a_closed_descriptor_does_not_become_one_of_ours(closed: int) -> None:
    shell = f'exec "$@" {closed}>&-'
    argv = ["sh", "-c", shell, "sh", *ARGV, "run", "-c", "import os; os.write(1, b'x'); None"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=MOST_SECONDS)
    assert (done.returncode, done.stdout) == (0, b"" if closed == 1 else b"x")

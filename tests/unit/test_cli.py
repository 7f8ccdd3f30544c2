"""The parts of the command line that need no guest."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import get_args

import pytest
import typer

from sandbox import BadCall, Result
from sandbox.cli.options import parse_size
from sandbox.cli.output import one_line
from sandbox.cli.streams import Stream, read_to_end
from sandbox.cli.verdicts import exit_status, verdict_line
from sandbox.result import Enforced, ErrorInfo, Status

ENFORCED = Enforced(**dict.fromkeys(Enforced.model_fields, "test"))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("64MB", 64_000_000),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        (" 1.5GiB ", 3 << 29),
        ("0.1GB", 100_000_000),
    ],
)
def test_a_size_is_read_with_its_unit(text: str, amount: int) -> None:
    assert parse_size(text) == amount


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1", "1e3", "1.MiB", ".5MiB", "0x10", "5M", "1TiBs", "1,5MiB", "٣", "1\n2"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [
        ("ok", 0, 0),
        ("error", 1, 1),
        ("error", 0, 1),
        ("error", 127, 127),
        ("exit", 77, 77),
        ("timeout", None, 124),
        ("cpu_limit", None, 124),
        ("denied", None, 126),
        ("memory_limit", 1, 137),
        ("cancelled", None, 130),
        ("output_limit", None, 1),
        ("disk_limit", 5, 5),
        ("process_limit", 0, 1),
        ("invalid", 0, 1),
    ],
)
def test_an_exit_status_stands_for_a_verdict(
    status: Status, exit_code: int | None, expected: int
) -> None:
    assert exit_status(Result(status=status, exit_code=exit_code, enforced=ENFORCED)) == expected


@pytest.mark.parametrize(("signal", "expected"), [(6, 134), (9, 137), (None, 137)])
def test_a_signal_is_an_exit_status_over_128(signal: int | None, expected: int) -> None:
    assert exit_status(Result(status="signal", signal=signal, enforced=ENFORCED)) == expected


@pytest.mark.parametrize("status", [status for status in get_args(Status) if status != "ok"])
def test_no_verdict_but_ok_is_exit_status_0(status: Status) -> None:
    assert exit_status(Result(status=status, exit_code=0, enforced=ENFORCED)) != 0


def test_a_verdict_line_is_one_line_whatever_the_guest_says() -> None:
    error = ErrorInfo(type="E\nsandbox: ok", message="a\r\x1b[2Jb\u202e\n" * 1000)
    line = one_line(verdict_line(Result(status="error", error=error, enforced=ENFORCED)))
    assert re.fullmatch(r"[\x20-\x7e]{1,12000}", line)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe: the end to read and the end to write."""
    read_end, write_end = os.pipe()
    with closing(os.fdopen(read_end)), closing(os.fdopen(write_end, "wb")):
        yield read_end, write_end


def test_an_open_pipe_that_stays_silent_is_a_fault(pipe: tuple[int, int]) -> None:
    with pytest.raises(BadCall, match="open but silent"):
        read_to_end(pipe[0], silence_seconds=0.01)


def test_a_pipe_that_ends_is_read_whole() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"abc")
    os.close(write_end)
    content = read_to_end(read_end, silence_seconds=10)
    os.close(read_end)
    assert content == b"abc"


def test_endless_input_is_cut_off() -> None:
    endless = os.open("/dev/zero", os.O_RDONLY)
    with pytest.raises(BadCall, match="over 64 MiB"):
        read_to_end(endless, silence_seconds=None)
    os.close(endless)


def test_a_pipe_gets_text_as_it_is(pipe: tuple[int, int]) -> None:
    Stream(pipe[1]).write_now("\x1b[31m\u202e")
    assert os.read(pipe[0], 100) == "\x1b[31m\u202e".encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["pydantic", "psutil", "anyio", "docker", "rich", "cloudpickle", "asyncio"]
)
def test_help_does_not_import_what_is_slow(module: str) -> None:
    code = (
        "import sys; from sandbox.cli.app import run_command; run_command(['--help']);"
        f"sys.exit({module!r} in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 0

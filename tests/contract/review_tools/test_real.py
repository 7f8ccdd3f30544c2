"""Real tools, unmodified: nothing to explain, but what the rules say of a server's socket."""

import pytest

from sandbox import Sandbox, Source
from tests.contract.review_tools.conftest import above_info, proofs
from tests.contract.review_tools.real import (
    GIT,
    MODULES,
    PROGRAMS,
    SOURCES,
    command,
    module,
    program_beside_python,
)

SERVED_ONCE = """
import subprocess, sys, urllib.request
argv = [sys.executable, "-u", "-m", "http.server", "8000"]
with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
    server.stdout.readline()
    print(urllib.request.urlopen("http://127.0.0.1:8000/").status)
    server.terminate()
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_system_gives_nothing_to_explain(name: str, reviewer: Sandbox) -> None:
    arguments, output = PROGRAMS[name]

    review = reviewer.review(command(name, *arguments))

    assert above_info(review) == {}
    assert review.runs[0].result.ok
    assert output in review.runs[0].result.stdout


def test_git_gives_nothing_to_explain(reviewer: Sandbox) -> None:
    command("git")

    review = reviewer.review(command("sh", "-c", GIT))

    assert above_info(review) == {}
    assert review.runs[0].result.stdout.endswith(" 1\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_module_gives_nothing_to_explain(name: str, reviewer: Sandbox) -> None:
    arguments, files, output = MODULES[name]

    review = reviewer.review(module(name, *arguments, files=files))

    assert above_info(review) == {}
    assert review.runs[0].result.status in {"ok", "exit"}
    assert review.runs[0].result.exit_code == 0
    assert output in review.runs[0].result.stdout


def test_black_formats_a_file(reviewer: Sandbox) -> None:
    review = reviewer.review(module("black", "-q", "a.py", files={"a.py": b"x = {  'a':1 }\n"}))

    assert review.runs[0].result.files["a.py"] == b'x = {"a": 1}\n'


@pytest.mark.parametrize("name", SOURCES)
def test_a_program_that_uses_a_library_gives_nothing_to_explain(
    name: str, reviewer: Sandbox
) -> None:
    review = reviewer.review(Source(source=SOURCES[name], expect_value=False))

    assert above_info(review) == {}
    assert review.runs[0].result.ok


def test_requests_is_seen_to_ask_for_a_name_and_to_look_for_its_password(
    reviewer: Sandbox,
) -> None:
    review = reviewer.review(Source(source=SOURCES["requests"], expect_value=False))

    assert review.runs[0].result.stdout == "ConnectionError\n"
    assert proofs(review, "asks-for-names").startswith("resolve tool.example, refused")
    assert proofs(review, "reads-planted-netrc") == "read /box/.netrc"


@pytest.mark.slow
def test_a_web_server_is_found_for_its_socket_alone(reviewer: Sandbox) -> None:
    review = reviewer.review(Source(source=SERVED_ONCE, expect_value=False))

    assert review.runs[0].result.stdout == "200\n"
    assert above_info(review) == {"listens-for-others": "low"}
    assert "listen 0.0.0.0 port 8000" in proofs(review, "listens-for-others")


@pytest.mark.slow
def test_a_program_that_is_taken_along_gives_nothing_to_explain(reviewer: Sandbox) -> None:
    review = reviewer.review(program_beside_python("ruff", "--version"))

    assert above_info(review) == {}
    assert review.runs[0].result.stdout.startswith("ruff ")

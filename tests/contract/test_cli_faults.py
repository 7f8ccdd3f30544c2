"""What is wrong on the command line is one line on stderr and exit status 125, whatever it is."""

from pathlib import Path

import pytest

from tests.contract.command_line import sandbox

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a program and with files that are none."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "good.py").write_text("1")
    (folder / "nul.py").write_text("1\0")
    (folder / "latin.py").write_bytes(b"x = '\xe9'")
    (folder / "key.toml").write_text("[quota]\nwall_second = 1\n")
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["run"], "nothing to run", id="nothing"),
        pytest.param(["run", "{}/no.py"], "no.py: cannot be read: No such file", id="no file"),
        pytest.param(["run", "{}"], "Is a directory", id="a folder"),
        pytest.param(["run", "{}/nul.py"], "NUL at character 1", id="a NUL"),
        pytest.param(["run", "{}/latin.py"], "is no Python source", id="not UTF-8"),
        pytest.param(["run", "/dev/zero"], "is over the 16777216 bytes", id="endless"),
        pytest.param(["run", "--memory", "5 potatoes", "{}/good.py"], "is no size", id="bad size"),
        pytest.param(["run", "--memory", "1B", "{}/good.py"], "memory_bytes", id="small size"),
        pytest.param(["run", "--timeout", "-1", "{}/good.py"], "wall_seconds", id="bad time"),
        pytest.param(["run", "--timeout", "nan", "{}/good.py"], "wall_seconds", id="no time"),
        pytest.param(["run", "--tmeout", "1", "{}/good.py"], "--timeout", id="misspelt option"),
        pytest.param(["run", "--policy", "strct", "{}/good.py"], "strict", id="misspelt preset"),
        pytest.param(
            ["run", "--policy", "{}/key.toml", "{}/good.py"], "mean wall_seconds", id="misspelt key"
        ),
        pytest.param(["run", "--network", "full", "{}/good.py"], "--reason", id="no reason"),
        pytest.param(["run", "--network", "hosts", "{}/good.py"], "--network", id="bad network"),
        pytest.param(["run", "--backend", "podman", "{}/good.py"], "--backend", id="no backend"),
        pytest.param(["run", "--input", "x", "{}/good.py"], "NAME=JSON", id="input, no value"),
        pytest.param(["run", "--input", "x=[", "{}/good.py"], "NAME=JSON", id="input, no JSON"),
        pytest.param(["run", "--input", "1=1", "{}/good.py"], "Python name", id="input, no name"),
        pytest.param(["run", "--input", "x=NaN", "{}/good.py"], "JSON", id="input, not a number"),
        pytest.param(["run", "--file", "{}/no", "{}/good.py"], "/no: cannot", id="no input file"),
        pytest.param(["run", "--file", "{}/good.py:../x", "-c", "1"], "plain path", id="a way out"),
        pytest.param(["run", "--memory", "1000GiB", "{}/good.py"], "this host", id="too much"),
        pytest.param(["run", "-c", "1", "--", "\udcff"], "lone surrogate", id="not UTF-8 word"),
        pytest.param(["exec"], "Missing argument", id="no program"),
        pytest.param(["exec", "--", ""], "a command is", id="an empty program"),
        pytest.param(["polcy"], "No such command", id="misspelt command"),
        pytest.param(["policy"], "Missing command", id="half a command"),
        pytest.param(["policy", "show", "{}/no.toml"], "no such file", id="no document"),
        pytest.param(["policy", "explain", "{}/key.toml"], "wall_second", id="a bad document"),
        pytest.param(["policy", "diff", "strict", "strct"], "strict", id="half a comparison"),
    ],
)
def test_a_fault_is_one_line_that_says_what(words: list[str], said: str, folder: Path) -> None:
    done = sandbox(*(word.replace("{}", str(folder)) for word in words))
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines), done.stdout, said in lines[0]) == (125, 1, "", True), lines


@pytest.mark.parametrize("words", [["run"], ["exec"], ["policy", "check"], ["doctor"], ["ps"]])
def test_every_command_has_help(words: list[str]) -> None:
    done = sandbox(*words, "--help")
    assert (done.returncode, done.stderr, done.stdout.startswith("Usage: sandbox")) == (0, "", True)


def test_without_words_there_is_help() -> None:
    assert sandbox().stdout == sandbox("--help").stdout

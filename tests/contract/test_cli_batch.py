"""`sandbox batch`, as a shell meets it, with real guests and real signals."""

import json
import os
import pty
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import IO, Any, cast

import pytest

from sandbox.backends.leftovers import find_running
from sandbox.result import Result
from tests.contract.command_line import ARGV, MOST_SECONDS, sandbox, started
from tests.contract.engines import wait_until

pytestmark = pytest.mark.slow  # each test starts an interpreter, and that one a zygote

SLOW = "import time\ntime.sleep(0.2)\n"


class Batch:
    """Files of one batch."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.out = folder / "programs.jsonl", folder / "out.jsonl"
        self.journal = folder / "out.jsonl.journal"
        self.words = ("batch", str(self.programs), "--out", str(self.out), "--jobs", "2")

    def give(self, *calls: dict[str, Any]) -> None:
        self.programs.write_text("".join(f"{json.dumps(call)}\n" for call in calls))

    def give_slow(self, count: int) -> None:
        self.give(*({"id": number, "source": f"{SLOW}{number}"} for number in range(count)))

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def begun(self) -> list[str]:
        return [line for line in self.journal.read_text().splitlines() if line.startswith("begun")]

    def has_recorded(self, count: int) -> bool:
        return wait_until(lambda: self.out.exists() and self.out.read_bytes().count(b"\n") >= count)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path)


def test_each_result_is_a_line_that_can_be_read_back(batch: Batch) -> None:
    batch.give({"source": "6 * 7"})
    sandbox(*batch.words)
    assert Result.from_json(json.dumps(batch.records()[0]["result"])).value == 42


def test_any_verdicts_are_exit_status_0(batch: Batch) -> None:
    batch.give({"source": "1 / 0"}, {"argv": ["sh", "-c", "exit 3"]}, {"source": "1"})
    status = sandbox(*batch.words).returncode
    verdicts = {record["line"]: record["status"] for record in batch.records()}
    assert (status, verdicts) == (0, {1: "error", 2: "exit", 3: "ok"})


def test_a_call_has_its_files_and_its_standard_input(batch: Batch) -> None:
    given = {"files": {"f": {"base64": "aGk="}}, "stdin": " you"}
    batch.give({"argv": ["sh", "-c", "cat f -"], **given})
    sandbox(*batch.words)
    assert batch.records()[0]["result"]["stdout"] == "hi you"


def test_the_options_of_a_policy_hold_for_each_call(batch: Batch) -> None:
    batch.give({"source": "while True: pass"}, {"source": "1"})
    sandbox(*batch.words, "--timeout", "0.5")
    assert sorted(record["status"] for record in batch.records()) == ["ok", "timeout"]


def test_the_summary_counts_the_verdicts(batch: Batch) -> None:
    batch.give({"source": "1 / 0"}, {"source": "1"}, {"source": "2"})
    lines = [line.split() for line in sandbox(*batch.words).stderr.splitlines()]
    assert [line for line in lines if line[0] in {"ok", "error", "all"}] == [
        ["ok", "2"],
        ["error", "1"],
        ["all", "3"],
    ]


def test_the_summary_names_the_times(batch: Batch) -> None:
    batch.give({"source": "1"})
    names = [line.split()[0] for line in sandbox(*batch.words).stderr.splitlines()]
    assert names[-4:] == ["wall", "rate", "median", "p95"]


def test_calls_and_results_may_go_through_pipes(batch: Batch) -> None:
    done = sandbox("batch", "-", "--out", "-", stdin='{"id": "a", "source": "1"}\n')
    assert (done.returncode, json.loads(done.stdout)["id"], batch.out.exists()) == (0, "a", False)


def test_a_terminal_is_shown_how_far_it_is(batch: Batch) -> None:
    batch.give({"source": "1"}, {"source": "2"})
    ours, theirs = pty.openpty()
    argv = [*ARGV, *batch.words]
    with subprocess.Popen(argv, stdin=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = read_to_end(ours)
        process.wait(MOST_SECONDS)
    assert ("2/2" in shown, "/s: ok 2" in shown) == (True, True), shown


def read_to_end(terminal: int) -> str:
    """Read what is shown until nobody has the terminal any more."""
    shown = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            shown += piece
    except OSError:  # how Linux says that
        pass
    os.close(terminal)
    return shown.decode()


@pytest.mark.parametrize("count", [1, 4, 9])
def test_after_a_kill_every_id_is_recorded_once(batch: Batch, count: int) -> None:
    batch.give_slow(12)
    with started(*batch.words) as process:
        assert batch.has_recorded(count)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(MOST_SECONDS)
    sandbox(*batch.words)
    assert sorted(record["id"] for record in batch.records()) == list(range(12))


def test_after_a_kill_what_had_begun_is_not_begun_again(batch: Batch) -> None:
    batch.give_slow(12)
    with started(*batch.words) as process:
        assert batch.has_recorded(4)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(MOST_SECONDS)
    begun, recorded = len(batch.begun()), len(batch.records())
    sandbox(*batch.words)
    verdicts = Counter(record["status"] for record in batch.records())
    assert (verdicts["unknown"], verdicts["ok"]) == (begun - recorded, 12 - (begun - recorded))


def test_an_interrupt_keeps_what_was_recorded(batch: Batch) -> None:
    batch.give_slow(50)
    with started(*batch.words) as process:
        assert batch.has_recorded(3)
        process.send_signal(signal.SIGINT)
        status, said = process.wait(MOST_SECONDS), cast("IO[bytes]", process.stderr).read()
    recorded = len(batch.records())
    assert (status, said.splitlines()) == (
        130,
        [
            b"sandbox: interrupted after %d of 50: the same command goes on from there" % recorded,
        ],
    )


def test_an_interrupt_leaves_nothing(batch: Batch) -> None:
    batch.give_slow(50)
    with started(*batch.words) as process:
        assert batch.has_recorded(1)
        process.send_signal(signal.SIGINT)
        process.wait(MOST_SECONDS)
        assert process.pid not in {running.owner_pid for running in find_running()}


def test_two_at_the_same_results_are_refused(batch: Batch) -> None:
    batch.give_slow(50)
    with started(*batch.words):
        assert batch.has_recorded(1)
        done = sandbox(*batch.words)
    assert (done.returncode, "another process writes there" in done.stderr) == (125, True)


def test_a_reader_that_does_not_read_does_not_stop_the_clocks(batch: Batch) -> None:
    batch.give({"source": "print('x' * 500_000)"}, {"source": "while True: pass"})
    words = ("batch", str(batch.programs), "--out", "-", "--jobs", "2", "--timeout", "1")
    with started(*words) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        records = [json.loads(line) for line in cast("IO[bytes]", process.stdout)]
    late = next(record for record in records if record["status"] == "timeout")
    assert late["result"]["usage"]["wall_seconds"] < 2


def test_a_reader_that_goes_ends_the_batch(batch: Batch) -> None:
    batch.give_slow(50)
    with started("batch", str(batch.programs), "--out", "-", "--jobs", "2") as process:
        out = cast("IO[bytes]", process.stdout)
        out.readline()
        out.close()
        assert process.wait(MOST_SECONDS) == 141


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["{}/no", "--out", "{}/out"], "cannot be read", id="no file"),
        pytest.param(["{}", "--out", "{}/out"], "cannot be read", id="a folder"),
        pytest.param(["{}/good"], "--out", id="no results"),
        pytest.param(["{}/good", "--out", "{}/no/out"], "No such file", id="no folder"),
        pytest.param(["{}/good", "--out", "{}"], "is there already", id="results to a folder"),
        pytest.param(["{}/good", "--out", "{}/good"], "is there already", id="results to itself"),
        pytest.param(["{}/good", "--out", "{}/out", "--jobs", "0"], "--jobs", id="no jobs"),
        pytest.param(["{}/good", "--out", "{}/out", "--policy", "strct"], "strict", id="no policy"),
        pytest.param(
            ["{}/good", "--out", "{}/out", "--memory", "1000GiB"], "this host", id="too much"
        ),
    ],
)
def test_a_fault_is_one_line_that_says_what(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "good").write_text('{"source": "1"}\n')
    done = sandbox("batch", *(word.replace("{}", str(tmp_path)) for word in words))
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines), said in lines[0]) == (125, 1, True), lines

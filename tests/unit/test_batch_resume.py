"""`sandbox batch` on a backend without processes: what is recorded, and what is never run twice.

The hosts that die here kill themselves with SIGKILL in the middle of a call, and each start of a
call is a line in a file that the fake backend writes.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import sandbox

CHECKOUT = Path(sandbox.__file__).parents[1]

HOST = '''
import os, signal, sys
import anyio
from sandbox import choices
from sandbox.backends.fake import FakeBackend, returned
from sandbox.cli.app import run_command
from sandbox.errors import BadCall, CannotEnforce, EngineFault

starts, killed_at, fault, *words = sys.argv[1:]
count = 0

async def before(call):
    """Note the start; die in the midst of the call that was said."""
    global count
    count += 1
    number = count
    with open(starts, "ab", buffering=0) as file:
        file.write(call.source.encode() + b"\\n")
    await anyio.lowlevel.checkpoint()
    if number == int(killed_at) and not fault:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == int(killed_at) and fault == "interrupt":
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()
    if number == int(killed_at):
        raise FAULTS[fault]

FAULTS = {
    "refused": BadCall("too large"),
    "not begun": EngineFault("no process", started="no"),
    "begun": EngineFault("gone", started="unknown"),
}

class Fake(FakeBackend):
    def enforced(self, policy):
        if fault == "cannot":
            raise CannotEnforce("no such limit here")
        return super().enforced(policy)

choices.as_backend = lambda *_, **__: Fake([returned(n) for n in range(99)], before=before)
sys.exit(run_command(["batch", *words]))
'''


class Runs:
    """One batch in a folder, run as often as a test wants."""

    def __init__(self, folder: Path, count: int = 10) -> None:
        self.programs = folder / "programs.jsonl"
        self.out = folder / "out.jsonl"
        self.journal = folder / "out.jsonl.journal"
        self.starts = folder / "starts"
        self.starts.touch()
        lines = [{"id": f"call {number}", "source": str(number)} for number in range(count)]
        self.programs.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def run(self, *words: str, killed_at: int = 0, fault: str = "") -> "subprocess.Popen[str]":
        """Run it to its end; killed_at: in the midst of which call of this run."""
        argv = [sys.executable, "-c", HOST, str(self.starts), str(killed_at), fault]
        argv += [str(self.programs), "--out", str(self.out), "--jobs", "2", *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, cwd=CHECKOUT, stdout=pipe, stderr=pipe, text=True) as process:
            self.said, self.errors = process.communicate(timeout=50)
        return process

    def started(self) -> list[str]:
        return self.starts.read_text().split()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def statuses(self) -> Counter[str]:
        return Counter(record["status"] for record in self.records())


pytestmark = pytest.mark.slow  # each run starts an interpreter


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_every_line_is_recorded_once(runs: Runs) -> None:
    runs.run()
    seen = sorted((record["line"], record["id"]) for record in runs.records())
    assert seen == [(number + 1, f"call {number}") for number in range(10)]


def test_a_batch_that_is_done_leaves_no_journal(runs: Runs) -> None:
    status = runs.run().returncode
    assert (status, runs.journal.exists()) == (0, False)


def test_a_killed_batch_is_killed_in_the_midst_of_a_call(runs: Runs) -> None:
    status = runs.run(killed_at=5).returncode
    assert (status, len(runs.started()), len(runs.records())) == (-9, 5, 4)


@pytest.mark.parametrize("killed_at", [1, 2, 5, 10])
def test_after_a_kill_no_call_is_run_twice(runs: Runs, killed_at: int) -> None:
    runs.run(killed_at=killed_at)
    runs.run()
    assert max(Counter(runs.started()).values()) == 1


@pytest.mark.parametrize("killed_at", [1, 2, 5, 10])
def test_after_a_kill_every_id_is_recorded_once(runs: Runs, killed_at: int) -> None:
    runs.run(killed_at=killed_at)
    runs.run()
    assert sorted(record["id"] for record in runs.records()) == [f"call {n}" for n in range(10)]


def test_after_three_kills_too(runs: Runs) -> None:
    for _ in range(3):
        runs.run(killed_at=2)
    runs.run()
    seen = [record["id"] for record in runs.records()]
    assert (len(set(seen)), len(seen), max(Counter(runs.started()).values())) == (10, 10, 1)


def test_what_had_begun_at_the_kill_is_unknown(runs: Runs) -> None:
    runs.run(killed_at=5)
    runs.run()
    recorded = {record["id"]: record["status"] for record in runs.records()}
    assert {name for name, status in recorded.items() if status == "unknown"} >= {"call 4"}


def test_no_more_than_the_calls_at_once_are_unknown(runs: Runs) -> None:
    runs.run(killed_at=5)
    runs.run()
    assert runs.statuses()["unknown"] in {1, 2}


def test_what_had_begun_runs_once_more_where_that_is_asked(runs: Runs) -> None:
    runs.run(killed_at=5)
    status = runs.run("--again").returncode
    assert (status, runs.statuses()) == (0, {"ok": 10})


def test_half_a_result_at_the_end_is_cut_off(runs: Runs) -> None:
    runs.run(killed_at=5)
    runs.out.write_bytes(runs.out.read_bytes()[:-20])
    runs.run()
    assert (len(runs.records()), max(Counter(runs.started()).values())) == (10, 1)


def test_half_a_note_at_the_end_is_of_a_call_that_had_not_begun(runs: Runs) -> None:
    runs.run(killed_at=5)
    with runs.journal.open("a") as journal:
        journal.write("begun 9")
    runs.run()
    assert runs.statuses()["ok"] >= 8


def test_a_finished_batch_is_not_begun_anew(runs: Runs) -> None:
    runs.run()
    status = runs.run().returncode
    assert (status, "is there already" in runs.errors, len(runs.started())) == (125, True, 10)


def test_a_batch_with_another_input_is_refused(runs: Runs) -> None:
    runs.run(killed_at=5)
    runs.programs.write_text('{"source": "1"}\n')
    status = runs.run().returncode
    assert (status, "another input" in runs.errors, len(runs.started())) == (125, True, 5)


def test_a_batch_with_another_policy_is_refused(runs: Runs) -> None:
    runs.run(killed_at=5)
    status = runs.run("--policy", "compute").returncode
    assert (status, "another policy" in runs.errors, len(runs.started())) == (125, True, 5)


def test_a_batch_of_which_nothing_had_begun_may_become_another(runs: Runs) -> None:
    runs.run(fault="cannot")
    assert runs.run("--policy", "compute").returncode == 0


def test_results_of_somebody_else_are_refused(runs: Runs) -> None:
    runs.run(killed_at=5)
    with runs.out.open("a") as out:
        out.write("{}\n")
    runs.run()
    assert "line 5 is no result of this batch" in runs.errors


def test_bad_lines_are_named_before_anything_runs(runs: Runs) -> None:
    with runs.programs.open("a") as programs:
        programs.write("{\n")
    status = runs.run().returncode
    assert (status, "line 11: it is not JSON" in runs.errors, runs.started()) == (125, True, [])


def test_what_cannot_be_enforced_is_refused_before_anything_begins(runs: Runs) -> None:
    status = runs.run(fault="cannot").returncode
    assert (status, "no such limit" in runs.errors, runs.started()) == (125, True, [])


def test_a_call_that_cannot_be_sent_is_recorded_and_the_others_run(runs: Runs) -> None:
    status = runs.run(killed_at=5, fault="refused").returncode
    assert (status, runs.statuses()) == (125, {"ok": 9, "refused": 1})


def test_a_fault_before_a_call_has_begun_lets_it_run_later(runs: Runs) -> None:
    runs.run("--jobs", "1", killed_at=5, fault="not begun")
    runs.run()
    assert runs.statuses() == {"ok": 10}


def test_a_fault_after_a_call_may_have_begun_does_not(runs: Runs) -> None:
    runs.run("--jobs", "1", killed_at=5, fault="begun")
    runs.run()
    assert runs.statuses() == {"ok": 9, "unknown": 1}


def test_a_fault_of_the_engine_is_125(runs: Runs) -> None:
    status = runs.run(killed_at=5, fault="begun").returncode
    assert (status, runs.errors.splitlines()) == (125, ["sandbox: gone"])


def test_the_summary_counts_what_earlier_runs_recorded(runs: Runs) -> None:
    runs.run("--jobs", "1", killed_at=5)
    runs.run("--again")
    assert "all 10" in [" ".join(line.split()) for line in runs.errors.splitlines()]


def test_results_may_go_to_standard_output(runs: Runs) -> None:
    runs.out = Path("-")
    runs.run()
    assert len(runs.said.splitlines()) == 10

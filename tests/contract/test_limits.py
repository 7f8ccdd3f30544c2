"""Time, processes, threads and descriptors: just under passes, just over is stopped and named."""

import pytest

from sandbox import Sandbox
from tests.conftest import COUNTING, SandboxFor
from tests.contract.conftest import error_of

ONLY_LOOKS = "gVisor bounds no number of processes: we look, and may see the memory first"

BURN = """
import time

def burn(seconds):
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
"""

HOLD = """
import os, signal

def hold(count):
    for _ in range(count):
        if os.fork() == 0:
            signal.pause()
"""

THREADS = """
import threading

def hold(count):
    never = threading.Event()
    for _ in range(count):
        threading.Thread(target=never.wait, daemon=True).start()
"""

DESCRIPTORS = """
import os

def hold(count):
    return len([os.open("/dev/null", os.O_RDONLY) for _ in range(count)])
"""


def test_a_call_just_under_its_wall_time_is_ok(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(wall_seconds=2.0)

    assert box.run("import time; time.sleep(0.2); 1").ok


@pytest.mark.slow
def test_a_call_over_its_wall_time_is_a_timeout(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(wall_seconds=0.3)

    assert box.run("import time; time.sleep(60)").status == "timeout"


@pytest.mark.slow
def test_a_timeout_names_its_quota(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(wall_seconds=0.3).run("import time; time.sleep(60)")

    assert "quota.wall_seconds = 0.3" in error_of(result).message


@pytest.mark.slow
def test_a_call_just_under_its_cpu_time_is_ok(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(cpu_seconds=1.0, wall_seconds=20.0)

    assert box.run(f"{BURN}\nburn(0.5)").ok


OVER_CPU = {
    "alone": "burn(20)",
    "ignoring SIGXCPU": "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nburn(20)",
    "sleeping parent, busy children": """
import os
for _ in range(3):
    if os.fork() == 0:
        burn(20)
        os._exit(0)
time.sleep(18)
""",
    "children one after the other": """
import os
for _ in range(40):
    if os.fork() == 0:
        burn(0.2)
        os._exit(0)
    os.wait()
""",
    "a relay of orphans": """
import os, signal
if os.fork():
    signal.pause()
for _ in range(40):
    burn(0.2)
    if os.fork():
        os._exit(0)
""",
    "threads": """
import threading
for _ in range(3):
    threading.Thread(target=burn, args=(20,)).start()
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("program", OVER_CPU.values(), ids=OVER_CPU.keys())
def test_a_tree_over_its_cpu_time_is_stopped_for_it(sandbox_for: SandboxFor, program: str) -> None:
    box = sandbox_for(cpu_seconds=1.0, wall_seconds=20.0)

    assert box.run(f"{BURN}\n{program}").status == "cpu_limit"


@pytest.mark.differs("gvisor", reason="its clock of processes has ticks of 10 ms")
def test_the_shortest_call_is_charged_for(box: Sandbox) -> None:
    assert min(box.run("1").usage.cpu_seconds for _ in range(10)) > 0


@pytest.mark.slow
def test_cpu_time_used_is_told(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(cpu_seconds=1.0, wall_seconds=20.0)

    assert 0.4 < box.run(f"{BURN}\nburn(0.5)").usage.cpu_seconds < 1.0


@pytest.mark.slow
def test_cpu_time_of_children_is_told(sandbox_for: SandboxFor) -> None:
    program = "import os\nif os.fork() == 0:\n    burn(0.5)\n    os._exit(0)\nos.wait()"
    box = sandbox_for(cpu_seconds=1.0, wall_seconds=20.0)

    assert box.run(f"{BURN}\n{program}").usage.cpu_seconds > 0.4


@pytest.mark.parametrize("kind", [HOLD, THREADS], ids=["processes", "threads"])
def test_as_many_as_the_quota_with_the_first_one_are_ok(sandbox_for: SandboxFor, kind: str) -> None:
    box = sandbox_for(processes=8)

    assert box.run(f"{kind}\nhold(7)").ok


@pytest.mark.differs("gvisor", reason=ONLY_LOOKS)
@pytest.mark.parametrize("kind", [HOLD, THREADS], ids=["processes", "threads"])
def test_one_more_than_the_quota_is_refused_and_named(sandbox_for: SandboxFor, kind: str) -> None:
    box = sandbox_for(processes=8)

    assert box.run(f"{kind}\nhold(8)").status == "process_limit"


def test_processes_one_after_the_other_are_no_limit(sandbox_for: SandboxFor) -> None:
    program = "import os\nfor _ in range(50):\n    if os.fork() == 0: os._exit(0)\n    os.wait()"

    assert sandbox_for(processes=8).run(program).ok


def test_orphans_that_ended_are_no_limit(sandbox_for: SandboxFor) -> None:
    program = """
import os, time
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
    time.sleep(0.01)
"""
    assert sandbox_for(processes=8).run(program).ok


@pytest.mark.differs("gvisor", reason=ONLY_LOOKS)
@pytest.mark.slow
def test_a_fork_bomb_stops_at_its_process_limit(sandbox_for: SandboxFor) -> None:
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    box = sandbox_for(processes=8, wall_seconds=1.0)

    assert box.run(bomb).status == "process_limit"


@pytest.mark.differs("gvisor", reason=ONLY_LOOKS)
@pytest.mark.slow
def test_a_shell_fork_bomb_stops_at_its_process_limit(
    sandbox_for: SandboxFor, mechanism: str
) -> None:
    box = sandbox_for(processes=8, wall_seconds=1.0)

    result = box.exec(["bash", "-c", ":(){ :|:& };:"])

    # The shell exits with 0. A watchdog may look only when its bomb is between two bursts.
    expected = {"process_limit"} if mechanism in COUNTING else {"process_limit", "ok"}
    assert (result.status in expected, result.usage.peak_processes <= 8) == (True, True)


def test_one_call_at_its_process_limit_leaves_the_next_its_own(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(processes=8)
    box.run(f"{HOLD}\nhold(8)")

    assert box.run(f"{HOLD}\nhold(7)").ok


def test_descriptors_under_the_quota_are_ok(sandbox_for: SandboxFor) -> None:
    assert sandbox_for(open_files=32).run(f"{DESCRIPTORS}\nhold(20)").value == 20


def test_descriptors_over_the_quota_are_an_error_that_the_guest_sees(
    sandbox_for: SandboxFor,
) -> None:
    result = sandbox_for(open_files=32).run(f"{DESCRIPTORS}\nhold(40)")

    assert "Too many open files" in error_of(result).message


def test_no_limit_can_be_raised_again(box: Sandbox) -> None:
    program = """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft + 1, hard + 1))
"""
    assert box.run(program).status == "error"

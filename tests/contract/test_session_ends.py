"""How a turn ends: alone where Python allows it, else with its session, and the Result says so."""

import pytest

from sandbox import Sandbox, SessionLost
from sandbox.policy import MIB
from sandbox.result import Result
from tests.conftest import SandboxFor

FULL = """
import os, time
for _ in range(40):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
"""

GOES_ALONE = {
    "raises": ("1 / 0", "error"),
    "raises what is no Exception": ("raise BaseException", "error"),
    "exits": ("import sys\nsys.exit(3)", "error"),
    "interrupts itself": ("raise KeyboardInterrupt", "error"),
    "raises what cannot show itself": (
        "class Bad(Exception):\n    def __str__(self): raise LookupError\nraise Bad",
        "error",
    ),
    "sleeps": ("import time\ntime.sleep(60)", "timeout"),
    "waits for what never comes": ("import threading\nthreading.Event().wait()", "timeout"),
    "counts for ever": ("n = 0\nwhile True: n += 1", "timeout"),
    "is full of files": (f"open('full', 'wb').write(bytes({2 * MIB}))", "disk_limit"),
    "gives what is no JSON": ("[{1}]", "invalid"),
}
ALONE = [
    *(pytest.param(source, status, id=name) for name, (source, status) in GOES_ALONE.items()),
    pytest.param(
        FULL,
        "process_limit",
        id="is full of processes",
        marks=pytest.mark.differs("gvisor", reason="a watchdog counts them there, and kills"),
    ),
]
TAKES_ALL = {
    "exits at once": ("import os\nos._exit(3)", "exit"),
    "exits well without an answer": ("import os\nos._exit(0)", "error"),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", "signal"),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "signal"),
    "ignores an interrupt": (
        (
            "import time\nwhile True:\n    try:\n        time.sleep(60)\n"
            "    except KeyboardInterrupt:\n        pass"
        ),
        "timeout",
    ),
    "has no interrupt": (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
        "timeout",
    ),
    "fills the memory": (f"x = bytearray({300 * MIB})", "memory_limit"),
    "floods": ("while True: print('x' * 10_000)", "output_limit"),
    "does what no program needs": (
        "import ctypes\nctypes.CDLL(None).syscall(0x40000027)",
        "denied",
    ),
}


@pytest.fixture
def hasty(sandbox_for: SandboxFor) -> Sandbox:
    """A sandbox whose turns have little of everything."""
    return sandbox_for(wall_seconds=1.0, disk_bytes=MIB)


def fate(box: Sandbox, source: str) -> Result:
    """Give the Result of one bad turn."""
    with box.session() as session:
        return session.run(source)


def turn_after(box: Sandbox, source: str) -> object:
    """Give what a name of a turn is after a bad one; "lost" where no turn is taken any more."""
    with box.session() as session:
        session.run("x = 42").unwrap()
        session.run(source)
        try:
            return session.run("x").value
        except SessionLost:
            return "lost"


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status"), ALONE)
def test_a_turn_that_ends_alone_is_told(hasty: Sandbox, source: str, status: str) -> None:
    result = fate(hasty, source)

    assert (result.status, result.session_lost, result.value) == (status, False, None)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status"), ALONE)
def test_after_a_turn_that_ended_alone_all_is_there(
    hasty: Sandbox, source: str, status: str
) -> None:
    del status  # the other test's
    assert turn_after(hasty, source) == 42


@pytest.mark.slow
@pytest.mark.parametrize(("source", "status"), TAKES_ALL.values(), ids=TAKES_ALL.keys())
def test_a_turn_that_took_its_session_along_is_told(
    hasty: Sandbox, source: str, status: str
) -> None:
    result = fate(hasty, source)

    assert (result.status, result.session_lost, result.value) == (status, True, None)


@pytest.mark.slow
@pytest.mark.parametrize("source", [turn for turn, _ in TAKES_ALL.values()], ids=TAKES_ALL.keys())
def test_after_a_session_was_lost_no_turn_is_taken(hasty: Sandbox, source: str) -> None:
    assert turn_after(hasty, source) == "lost"


@pytest.mark.slow
def test_a_lost_session_stays_lost(hasty: Sandbox) -> None:
    with hasty.session() as session:
        session.run("import os\nos._exit(3)")
        with pytest.raises(SessionLost):
            session.run("1")
        with pytest.raises(SessionLost, match="its last turn took it along"):
            session.run("1")


def test_a_lost_session_has_no_files(hasty: Sandbox) -> None:
    with hasty.session() as session:
        session.run("open('left', 'w').write('x')\nimport os\nos._exit(3)")

        with pytest.raises(SessionLost):
            session.get("left")


def test_a_lost_session_takes_no_other_along(hasty: Sandbox) -> None:
    with hasty.session() as lost, hasty.session() as session:
        lost.run("import os\nos._exit(3)")

        assert session.run("42").value == 42


@pytest.mark.slow
def test_a_turn_may_clean_up_when_it_is_interrupted(hasty: Sandbox) -> None:
    with hasty.session() as session:
        session.run("import time\ntry:\n    time.sleep(60)\nfinally:\n    unwound = True")

        assert session.run("unwound").value is True


@pytest.mark.slow
def test_a_turn_that_answers_its_interrupt_is_late_all_the_same(hasty: Sandbox) -> None:
    result = fate(hasty, "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt: 42\n42")

    assert (result.status, result.value, result.session_lost) == ("timeout", None, False)


@pytest.mark.slow
def test_a_program_over_its_time_is_dead_and_the_session_lives(hasty: Sandbox) -> None:
    with hasty.session() as session:
        late = session.exec(["sleep", "60"])
        left = session.exec(["sh", "-c", "cat /proc/[0-9]*/comm"]).stdout.split()

    assert (late.status, "sleep" in left) == ("timeout", False)


BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


@pytest.mark.slow
def test_a_turn_over_its_processor_time_goes_alone(sandbox_for: SandboxFor) -> None:
    with sandbox_for(cpu_seconds=0.3).session() as session:
        late = session.run(BURN.format(60))

        assert (late.status, session.run("42").value) == ("cpu_limit", 42)


@pytest.mark.slow
def test_each_turn_has_the_whole_processor_time(sandbox_for: SandboxFor) -> None:
    """W7: what the turns before used is not counted again."""
    with sandbox_for(cpu_seconds=1).session() as session:
        assert [session.run(BURN.format(0.6)).status for _ in range(3)] == ["ok"] * 3


def test_each_turn_has_the_whole_output(sandbox_for: SandboxFor) -> None:
    with sandbox_for(output_bytes=1000).session() as session:
        assert [session.run("print('x' * 600)").status for _ in range(3)] == ["ok"] * 3


@pytest.mark.slow
def test_each_turn_has_the_whole_time(sandbox_for: SandboxFor) -> None:
    with sandbox_for(wall_seconds=1).session() as session:
        slow = "import time\ntime.sleep(0.6)"

        assert [session.run(slow).status for _ in range(3)] == ["ok"] * 3


@pytest.mark.differs("watchdog", "gvisor", reason="one sees what is there at a look, every 10 ms")
def test_a_limit_that_one_turn_met_is_not_told_of_the_next(hasty: Sandbox) -> None:
    with hasty.session() as session:
        full = session.run(FULL).limits_hit
        session.run("import os\nos.kill(-1, 9)")  # all but itself

        assert (full, session.run("1").limits_hit) == (("processes",), ())


def test_usage_is_of_the_turn_alone(sandbox_for: SandboxFor) -> None:
    with sandbox_for(wall_seconds=5).session() as session:
        session.run(BURN.format(0.2))
        usage = session.run("print('four')").usage

    seen = (usage.cpu_seconds < 0.1, usage.wall_seconds < 0.2, usage.stdout_bytes)
    assert seen == (True, True, 5)

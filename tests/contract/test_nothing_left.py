"""After any call, however it ended, and after the death of the host, nothing of it is left."""

import os
import select
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sandbox import EngineFault, Policy, Sandbox
from sandbox.result import Result
from tests.contract.conftest import BelongingsNow, NewBackend, settled, wait_for, when_warm

OWN_PROCESSES = "a container has no processes of ours on this host: see test_docker_faults.py"

CALLS: dict[str, Callable[[Sandbox], object]] = {
    "ok": lambda box: box.run("42"),
    "error": lambda box: box.run("1 / 0"),
    "exit": lambda box: box.run("import os; os._exit(3)"),
    "signal": lambda box: box.run("import os; os.kill(os.getpid(), 9)"),
    "timeout": lambda box: box.run("while True: pass"),
    "output limit": lambda box: box.run("while True: print('x' * 10_000)"),
    "memory limit": lambda box: box.run("x = bytearray(500 << 20)"),
    "background children": lambda box: box.exec(["sh", "-c", "sleep 60 & sleep 60 & exit 0"]),
    "a daemon": lambda box: box.exec(["sh", "-c", "setsid sleep 60 > /dev/null 2>&1 &"]),
    "a program that is not there": lambda box: box.exec(["no-such-program"]),
    "files": lambda box: box.run("open('y', 'w').write('1')", files={"a/b/x": b"1"}),
    "many files": lambda box: box.run("for n in range(300): open(str(n), 'w').write('x')"),
    "links and fifos": lambda box: box.run("import os\nos.mkfifo('f')\nos.symlink('/', 'l')"),
    "closed descriptors": lambda box: box.run("import os; os.closerange(0, 99); os._exit(0)"),
    "an unread stdin": lambda box: box.run("1", stdin=bytes(1 << 22)),
    "an unread payload": lambda box: box.run("1 +", files={"x": bytes(1 << 20)}),
    "a forged answer": lambda box: box.run("import os; os.write(4, b'x'); os._exit(0)"),
    "output that raises here": lambda box: box.run("print(1)", on_output=_raise),
}


def _raise(_stream: str, _chunk: bytes) -> None:
    message = "the caller's own"
    raise LookupError(message)


@pytest.fixture
def own_temp_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have this process put its temporary files where only this test looks."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def short(new_backend: NewBackend) -> Iterator[Sandbox]:
    """A sandbox of this test's own, with a short deadline."""
    policy = Policy.load("strict").widen("a test", wall_seconds=0.5)
    with Sandbox(policy, backend=new_backend()) as box:
        yield box


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_call_leaves_nothing_of_it(
    short: Sandbox, belongings: BelongingsNow, call: Callable[[Sandbox], Result]
) -> None:
    before = when_warm(belongings, lambda: short.run("1"))

    with suppress(LookupError):
        call(short)

    assert wait_for(belongings, before.__eq__) == before


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_closed_sandbox_leaves_nothing_at_all(
    new_backend: NewBackend, belongings: BelongingsNow, call: Callable[[Sandbox], Result]
) -> None:
    before = settled(belongings)

    with suppress(LookupError), Sandbox(backend=new_backend()) as box:
        call(box)

    assert belongings() == before


@pytest.mark.slow
def test_no_temporary_file_is_left(own_temp_folder: Path, new_backend: NewBackend) -> None:
    with Sandbox(backend=new_backend()) as box:
        for call in (CALLS["ok"], CALLS["files"], CALLS["many files"]):
            call(box)

    assert list(own_temp_folder.iterdir()) == []


@pytest.mark.differs("docker", "gvisor", reason="a container takes 0.3 s: see test_docker.py")
@pytest.mark.slow
def test_two_hundred_calls_leave_nothing(short: Sandbox, belongings: BelongingsNow) -> None:
    before = when_warm(belongings, lambda: short.run("1"))

    for number in range(200):
        short.run(f"{number}")

    assert wait_for(belongings, before.__eq__) == before


def test_a_sandbox_that_ran_nothing_leaves_nothing(belongings: BelongingsNow) -> None:
    before = settled(belongings)

    with Sandbox():
        pass

    assert wait_for(belongings, before.__eq__) == before


def test_a_guest_that_waited_for_long_is_as_good_as_new(
    short: Sandbox, belongings: BelongingsNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_warm(belongings, lambda: short.run("1"))
    monkeypatch.setattr("sandbox.backends.guest.LAUNCH_SECONDS", 0.0)  # as if that were long ago

    assert short.run("6 * 7").value == 42


def test_closing_twice_does_nothing(new_backend: NewBackend) -> None:
    box = Sandbox(backend=new_backend())
    box.run("1")
    box.close()
    box.close()

    with pytest.raises(EngineFault, match="closed"):
        box.run("1")


def test_a_sandbox_closed_unused_stays_closed(new_backend: NewBackend) -> None:
    box = Sandbox(backend=new_backend())
    box.close()

    with pytest.raises(EngineFault, match="closed"):
        box.run("1")


def keeper_and_zygote(box: Sandbox) -> tuple[psutil.Process, psutil.Process]:
    """Find the two processes that a sandbox keeps warm, among this process's newest."""
    before = {each.pid for each in psutil.Process().children()}
    box.run("1")
    (keeper,) = [each for each in psutil.Process().children() if each.pid not in before]
    (zygote,) = keeper.children()
    return keeper, zygote


def in_mid_call(box: Sandbox, strike: Callable[[], None]) -> BaseException | Result:
    """Run a call, strike when its output says that it runs, and give how it ended."""

    def on_output(_stream: str, _chunk: bytes) -> None:
        strike()

    try:
        return box.run("print('ready')\nimport time\ntime.sleep(4)", on_output=on_output)
    except EngineFault as fault:
        return fault


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_the_end_of_a_process_of_ours_in_mid_call_is_our_fault(
    new_backend: NewBackend, who: int
) -> None:
    with Sandbox(backend=new_backend()) as box:
        victim = keeper_and_zygote(box)[who]
        ended = in_mid_call(box, victim.kill)

    assert isinstance(ended, EngineFault)


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_a_fault_in_mid_call_never_says_that_nothing_ran(new_backend: NewBackend, who: int) -> None:
    with Sandbox(backend=new_backend()) as box:
        victim = keeper_and_zygote(box)[who]
        ended = in_mid_call(box, victim.kill)

    assert getattr(ended, "started", "no") in {"yes", "unknown"}


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_the_call_after_such_a_fault_works(new_backend: NewBackend, who: int) -> None:
    with Sandbox(backend=new_backend()) as box:
        victim = keeper_and_zygote(box)[who]
        in_mid_call(box, victim.kill)

        assert box.run("6 * 7").value == 42


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_a_process_of_ours_that_died_between_calls_is_replaced(
    new_backend: NewBackend, who: int
) -> None:
    with Sandbox(backend=new_backend()) as box:
        ours = keeper_and_zygote(box)
        death = os.pidfd_open(ours[1].pid)
        ours[who].kill()
        select.select([death], [], [], 10)
        os.close(death)

        assert answer_after_at_most_one_fault(box) == 42


def answer_after_at_most_one_fault(box: Sandbox) -> object:
    """Call; a fault that says that nothing ran may be tried again, once."""
    try:
        return box.run("6 * 7").value
    except EngineFault as fault:
        return box.run("6 * 7").value if fault.started == "no" else fault.started


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.slow
@pytest.mark.parametrize("who", [0, 1], ids=["keeper", "zygote"])
def test_a_fault_leaves_nothing(
    new_backend: NewBackend, belongings: BelongingsNow, who: int
) -> None:
    before = settled(belongings)

    with Sandbox(backend=new_backend()) as box:
        victim = keeper_and_zygote(box)[who]
        in_mid_call(box, victim.kill)

    assert belongings() == before


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.slow
def test_a_guest_killed_from_outside_is_told_as_a_signal(new_backend: NewBackend) -> None:
    with Sandbox(backend=new_backend()) as box:
        _, zygote = keeper_and_zygote(box)

        def kill_the_guest() -> None:
            for init in zygote.children():
                with suppress(psutil.NoSuchProcess):  # the guest of the call before may just go
                    for main in init.children():
                        main.kill()

        ended = in_mid_call(box, kill_the_guest)

    assert isinstance(ended, Result)
    assert (ended.status, ended.signal) == ("signal", signal.SIGKILL)


@pytest.mark.differs("docker", "gvisor", reason=OWN_PROCESSES)
@pytest.mark.slow
def test_a_stopped_zygote_ends_with_its_sandbox(
    new_backend: NewBackend, belongings: BelongingsNow
) -> None:
    before = settled(belongings)

    with Sandbox(backend=new_backend()) as box:
        _, zygote = keeper_and_zygote(box)
        os.kill(zygote.pid, signal.SIGSTOP)

    assert belongings() == before

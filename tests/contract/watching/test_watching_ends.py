"""A record has its bounds, and a watcher its end."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sandbox import EngineFault, Policy, Sandbox, Source
from tests.contract.watching.conftest import Watch
from tests.contract.watching.seen import accesses


@pytest.mark.slow
def test_a_flood_of_names_is_counted_when_it_is_over_the_bounds(watch: Watch) -> None:
    code = "import os\nfor n in range(60_000):\n    os.access(f'/box/{n}', 0)\nNone"

    result, record = watch(code)

    assert result.status == "ok"
    assert 40_000 <= len(record.events) < 50_000  # the rest is reserved for what is not a look
    assert len(record.events) + record.not_kept == 60_000


def test_a_watched_call_ends_at_its_deadline() -> None:
    policy = Policy.load("review").narrow(wall_seconds=1.0, grace_seconds=0.0)
    with Sandbox(policy) as box:
        result, record = box.watch(Source(source="open('a', 'w').close()\nwhile True: pass"))

    assert result.status == "timeout"
    assert accesses(record, "/box/a") == [("create", "allowed")]


def test_samples_show_what_a_call_uses(watch: Watch) -> None:
    code = "import time\nkept = bytearray(80 << 20)\n"
    code += "while time.process_time() < .5: pass\nprint('x' * 1000)\ntime.sleep(.2)\nNone"

    _, record = watch(code)

    assert max(sample.memory_bytes for sample in record.samples) > 80 << 20
    assert record.samples[-1].cpu_seconds > 0.3
    assert record.samples[-1].output_bytes > 1000
    assert [sample.at for sample in record.samples] == sorted(each.at for each in record.samples)


def watchers() -> list[psutil.Process]:
    """Give the watchers below this process."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ends just now
            found += [child] if "watcher" in child.cmdline() else []
    return found


def test_no_watcher_is_left_after_a_call(watch: Watch) -> None:
    watch("1")

    assert watchers() == []


def test_when_the_watcher_dies_the_call_fails_and_goes_on_nowhere(reviewer: Sandbox) -> None:
    code = "import time\nprint('up', flush=True)\nwhile True:\n    open('/etc/passwd').close()"

    def kill(_: str, __: bytes) -> None:
        for watcher in watchers():
            watcher.kill()

    with pytest.raises(EngineFault, match="the watcher ended before"):
        reviewer.watch(Source(source=code), on_output=kill)

    assert watchers() == []


@pytest.mark.slow
def test_a_watcher_that_is_stopped_holds_the_call_no_longer_than_its_time() -> None:
    code = "print('up', flush=True)\nwhile True:\n    open('/etc/passwd').close()"

    def stop(_: str, __: bytes) -> None:
        for watcher in watchers():
            watcher.send_signal(signal.SIGSTOP)

    policy = Policy.load("review").narrow(wall_seconds=1.5, grace_seconds=0.0)
    started = time.monotonic()
    with Sandbox(policy) as box, pytest.raises(EngineFault, match="the watcher ended before"):
        box.watch(Source(source=code), on_output=stop)

    assert time.monotonic() - started < 25
    assert watchers() == []


HOST = """
import sys
from sandbox import Sandbox, Source
with Sandbox("review") as box:
    box.watch(Source(source="print('up', flush=True)\\nimport time\\ntime.sleep(60)"),
              on_output=lambda *_: print("up", flush=True))
"""


def test_a_killed_host_leaves_neither_watcher_nor_guest() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOST], stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"up\n"
        tree = psutil.Process(host.pid).children(recursive=True)
        assert any("watcher" in process.cmdline() for process in tree)
        host.kill()

    _, alive = psutil.wait_procs(tree, timeout=10)
    assert alive == []


def test_a_watched_guest_has_no_descriptor_but_its_own(watch: Watch) -> None:
    """What it is watched by is in nobody's hands but the watcher's."""
    code = "import os\nsorted(os.listdir('/proc/self/fd'), key=int)"

    result, _ = watch(code)

    assert result.value == ["0", "1", "2", "3", "4"]  # 3 is the folder that is listed

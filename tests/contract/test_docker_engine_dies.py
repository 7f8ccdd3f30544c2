"""An engine of the test's own, killed or frozen in mid-call: nothing hangs, no lie is told."""

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import EngineFault, Policy, Sandbox
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.docker_leftovers import find_containers
from sandbox.result import Result
from tests.contract.engines import OwnEngine, needs_engine, skip_or_fail, wait_until

pytestmark = [
    needs_engine,
    pytest.mark.slow,
    # the docker library leaves a socket to the collector where no engine answers
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SLEEP = "print('ready', flush=True)\nimport time\ntime.sleep(20)"


@pytest.fixture(scope="module")
def own_engine() -> Iterator[OwnEngine]:
    """An engine with our image in it, to be killed and started again."""
    if not shutil.which("dockerd") or os.geteuid() != 0:
        skip_or_fail("needs dockerd, and to be root")
    # Not tmp_path: the name of a socket has a hundred letters at most.
    engine = OwnEngine(Path(tempfile.mkdtemp(prefix="engine-")))
    try:
        engine.start()
        engine.make_image()
        yield engine
    finally:
        engine.close()
        gc.collect()


@pytest.fixture
def engine(own_engine: OwnEngine) -> OwnEngine:
    """The same, running."""
    own_engine.start()
    return own_engine


def ended_by(box: Sandbox, strike: Callable[[], None]) -> EngineFault | Result:
    """Strike once when a call says that it runs, and give how it ended."""
    blows = [strike]

    def on_output(_stream: str, _chunk: bytes) -> None:
        if blows:
            blows.pop()()

    try:
        return box.run(SLEEP, on_output=on_output)
    except EngineFault as fault:
        return fault


@pytest.mark.parametrize("warm", [0, 2])
def test_the_death_of_the_engine_in_mid_call_is_our_fault(engine: OwnEngine, warm: int) -> None:
    backend = DockerBackend(address=engine.address, warm=warm)
    with Sandbox(Policy.load("strict").widen("a test", wall_seconds=30), backend=backend) as box:
        ended = ended_by(box, engine.kill)

    assert isinstance(ended, EngineFault)
    assert ended.started in {"yes", "unknown"}


def test_the_death_of_the_engine_is_told_within_seconds(engine: OwnEngine) -> None:
    backend = DockerBackend(address=engine.address, warm=1)
    with Sandbox(Policy.load("strict").widen("a test", wall_seconds=30), backend=backend) as box:
        box.run("1")
        begun = time.monotonic()
        ended_by(box, engine.kill)
    told_and_closed = time.monotonic() - begun

    assert told_and_closed < 10


def test_a_call_after_the_death_of_the_engine_says_that_nothing_ran(engine: OwnEngine) -> None:
    with Sandbox(backend=DockerBackend(address=engine.address, warm=1)) as box:
        box.run("1")
        engine.kill()

        with pytest.raises(EngineFault) as caught:
            box.run("1")

    assert caught.value.started == "no"


def test_a_sandbox_works_again_once_the_engine_does(engine: OwnEngine) -> None:
    with Sandbox(backend=DockerBackend(address=engine.address, warm=1)) as box:
        ended_by(box, engine.kill)
        engine.start()

        assert box.run("6 * 7").value == 42


def test_what_is_told_of_ends_is_right_after_a_restart_too(engine: OwnEngine) -> None:
    with Sandbox(backend=DockerBackend(address=engine.address, warm=0)) as box:
        ended_by(box, engine.kill)
        engine.start()
        ended = ended_by(box, lambda: kill_all(engine.address))

    assert isinstance(ended, EngineFault)
    assert "killed from outside" in str(ended)


def kill_all(address: str) -> None:
    api = DockerEngine(address)
    for each in api.owned():
        api.kill(each["Id"])
    api.close()


def test_no_container_outlives_the_death_of_its_engine_and_its_host(engine: OwnEngine) -> None:
    with Sandbox(backend=DockerBackend(address=engine.address, warm=2)) as box:
        ended_by(box, engine.kill)
    engine.start()
    api = DockerEngine(engine.address)
    all_gone = wait_until(lambda: find_containers(api) == ())
    api.close()

    assert all_gone


def test_a_frozen_engine_hangs_nobody(engine: OwnEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.backends.docker_engine.API_SECONDS", 2)
    policy = Policy.load("strict").widen("a test", wall_seconds=2)
    begun = time.monotonic()
    with Sandbox(policy, backend=DockerBackend(address=engine.address, warm=1)) as box:
        thaw = threading.Timer(25, engine.go_on)
        thaw.start()
        ended = ended_by(box, engine.stop)
    elapsed_seconds = time.monotonic() - begun
    engine.go_on()
    thaw.cancel()

    assert isinstance(ended, EngineFault) or ended.status == "timeout"
    assert elapsed_seconds < 20

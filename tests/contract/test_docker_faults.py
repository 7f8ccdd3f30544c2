"""A container engine that is not there, hangs or dies; images of all kinds; ends from outside."""

import gc
import socket
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import anyio
import psutil
import pytest

from sandbox import AsyncSandbox, CannotEnforce, EngineFault, Sandbox
from sandbox.backends import image_build
from sandbox.backends.docker import DockerBackend
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.image_build import WIRE_VERSION, runner_archive, runner_hash
from sandbox.backends.images import OWN_PYTHON
from sandbox.result import Result
from sandbox.shipped import RUNNERS
from tests.contract.engines import (
    BUSYBOX,
    RUNTIMES,
    Yard,
    import_tree,
    needs_engine,
    remove_images_of,
    skip_or_fail,
    wait_until,
)

pytestmark = [
    needs_engine,
    pytest.mark.slow,
    # the docker library leaves a socket to the collector where no engine answers
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MIB = 1 << 20
SLEEP = "print('ready', flush=True)\nimport time\ntime.sleep(20)"
Strike = Callable[[], object]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Leave nothing to be collected in somebody else's test."""
    yield
    gc.collect()


def struck(box: Sandbox, strike: Strike, program: str = SLEEP) -> EngineFault | Result:
    """Run a call, strike once when it says that it runs, and give how it ended."""
    blows = [strike]

    def on_output(_stream: str, _chunk: bytes) -> None:
        if blows:
            blows.pop()()

    try:
        return box.run(program, on_output=on_output)
    except EngineFault as fault:
        return fault


# No engine


def test_no_engine_at_the_address_is_said_before_anything_runs(tmp_path: Path) -> None:
    backend = DockerBackend(address=f"unix://{tmp_path}/none")

    with Sandbox(backend=backend) as box, pytest.raises(EngineFault, match="no container engine"):
        box.run("1")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "unix://"])
def test_an_address_that_leads_nowhere_is_our_fault(address: str) -> None:
    with (
        Sandbox(backend=DockerBackend(address=address)) as box,
        pytest.raises(EngineFault) as caught,
    ):
        box.run("1")

    assert caught.value.started == "no"


@pytest.fixture
def mute_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where something takes every connection and says nothing."""
    monkeypatch.setattr("sandbox.backends.docker_engine.API_SECONDS", 0.5)
    with (
        tempfile.TemporaryDirectory(prefix="mute-") as folder,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        listening.bind(f"{folder}/socket")
        listening.listen(16)
        yield f"unix://{folder}/socket"


def test_an_engine_that_says_nothing_is_waited_for_only_so_long(mute_address: str) -> None:
    begun = time.monotonic()
    with Sandbox(backend=DockerBackend(address=mute_address)) as box, pytest.raises(EngineFault):
        box.run("1")

    assert time.monotonic() - begun < 5


def test_the_event_loop_runs_on_while_an_engine_says_nothing(mute_address: str) -> None:
    async def ticks() -> int:
        count = 0
        async with AsyncSandbox(backend=DockerBackend(address=mute_address)) as box:

            async def call() -> None:
                with pytest.raises(EngineFault):
                    await box.run("1")
                group.cancel_scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(call)
                while True:
                    await anyio.sleep(0.01)
                    count += 1
        return count

    assert anyio.run(ticks) > 10


# Images


@pytest.fixture
def imported(engine: DockerEngine, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Make images of files; they are gone afterwards."""
    made: list[str] = []

    def make(files: dict[str, Path | str], changes: tuple[str, ...] = ()) -> str:
        name = f"sandbox-engine-test/{tmp_path.name.strip('_')}:{len(made)}".lower()
        made.append(import_tree(engine, tmp_path, name, files, changes))
        return name

    yield make
    for name in made:
        remove_images_of(engine, name)


@pytest.fixture
def busybox() -> dict[str, Path | str]:
    """The files of an image with a shell and nothing else."""
    if not BUSYBOX.exists():
        skip_or_fail("needs busybox: install busybox-static")
    return {"bin/busybox": BUSYBOX, "bin/sh": "busybox", "bin/cat": "busybox"}


def test_an_image_that_is_not_there_is_said_before_anything_runs() -> None:
    with (
        Sandbox(backend=DockerBackend(image="sandbox-engine-test/none:1")) as box,
        pytest.raises(EngineFault, match="sandbox images build") as caught,
    ):
        box.run("1")

    assert caught.value.started == "no"


def test_an_image_with_only_a_shell_gets_our_python(
    yard: Yard, imported: Callable[..., str], busybox: dict[str, Path | str]
) -> None:
    backend = DockerBackend(image=imported(busybox), warm=0)
    with Sandbox(yard.policy(), backend=backend) as box:
        assert box.run("import json, decimal; json.dumps(6 * 7)").value == "42"
        assert box.exec(["sh", "-c", "echo $((6 * 7)) | cat"]).stdout == "42\n"


def test_an_image_of_one_file_that_is_no_program_gets_our_python(
    yard: Yard, imported: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("42")
    (tmp_path / "x").chmod(0o644)
    backend = DockerBackend(image=imported({"data/x": tmp_path / "x"}), warm=0)
    with Sandbox(yard.policy(), backend=backend) as box:
        assert box.run("open('/data/x').read()").value == "42"
        assert box.exec(["sh", "-c", "exit 0"]).status != "ok"


def test_an_image_in_which_nothing_of_ours_fits_is_our_fault(
    yard: Yard, imported: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("no folder")
    backend = DockerBackend(image=imported({"tmp": tmp_path / "x"}), warm=0)
    with Sandbox(yard.policy(), backend=backend) as box, pytest.raises(EngineFault) as caught:
        box.run("1")

    assert caught.value.started == "no"


def test_nothing_is_left_of_an_image_in_which_nothing_fits(
    engine: DockerEngine, imported: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("no folder")
    name = imported({"tmp": tmp_path / "x"})
    with Sandbox(backend=DockerBackend(image=name, warm=0)) as box, pytest.raises(EngineFault):
        box.run("1")

    bases = [each["Labels"]["sandbox-engine.base"] for each in engine.images("sandbox-engine.base")]
    assert name not in bases


def test_an_image_that_says_another_version_of_the_wire_is_refused(
    imported: Callable[..., str], busybox: dict[str, Path | str]
) -> None:
    name = imported(busybox, ("LABEL sandbox-engine.wire=99",))

    with (
        Sandbox(backend=DockerBackend(image=name)) as box,
        pytest.raises(CannotEnforce, match="version 99 of the wire"),
    ):
        box.run("1")


@pytest.fixture
def lying_image(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An image whose labels are ours and whose runner speaks another version of the wire."""
    name = "sandbox-engine-test/lying:1"
    changes = (
        f"LABEL sandbox-engine.wire={WIRE_VERSION}",
        f"LABEL sandbox-engine.runner={runner_hash()}",
        "LABEL sandbox-engine.packages=",
        f'LABEL sandbox-engine.python="{" ".join(OWN_PYTHON)}"',
    )
    for file in RUNNERS.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    link = tmp_path / "link.py"
    link.write_text(link.read_text().replace(f"WIRE_VERSION = {WIRE_VERSION}", "WIRE_VERSION = 99"))
    monkeypatch.setattr(image_build, "RUNNERS", tmp_path)
    with runner_archive(with_interpreter=True) as archive:
        changed = tmp_path / "lying.tar"
        changed.write_bytes(archive.read_bytes())
    monkeypatch.undo()
    with tarfile.open(changed, "a") as tar:
        for folder in ("tmp", "proc", "sys", "dev"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    engine.import_image(changed, name, changes)
    yield name
    engine.remove_image(name)


def test_a_runner_that_speaks_another_version_than_its_label_is_refused(
    yard: Yard, lying_image: str
) -> None:
    backend = DockerBackend(image=lying_image, warm=0)
    with (
        Sandbox(yard.policy(), backend=backend) as box,
        pytest.raises(CannotEnforce, match="version 99 of the wire"),
    ):
        box.run("1")


# Ends from outside


def test_a_container_killed_from_outside_in_mid_call_is_our_fault(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        ended = struck(box, lambda: yard.engine.kill(yard.ids()[0]))

    assert isinstance(ended, EngineFault)
    assert (ended.started, "killed from outside" in str(ended)) == ("yes", True)


def test_a_container_removed_in_mid_call_is_our_fault(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=0)) as box:
        ended = struck(box, lambda: yard.engine.remove(yard.ids()[0]))

    assert isinstance(ended, EngineFault)
    assert ended.started == "yes"


def test_the_call_after_such_an_end_works(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=1)) as box:
        struck(box, yard.kill_all)

        assert box.run("6 * 7").value == 42


@pytest.mark.parametrize("end", ["kill", "remove"])
def test_a_waiting_container_that_was_ended_is_replaced(yard: Yard, end: str) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=1)) as box:
        box.run("1")
        (waiting,) = yard.wait_for(1)
        getattr(yard.engine, end)(waiting)
        assert wait_until(lambda: waiting not in yard.ids())

        assert box.run("6 * 7").value == 42


def test_a_container_that_is_gone_is_removed_again_without_a_word(yard: Yard) -> None:
    with Sandbox(yard.policy(), backend=DockerBackend(warm=1)) as box:
        box.run("1")
        (waiting,) = yard.wait_for(1)
        with ThreadPoolExecutor(8) as threads:
            ends = [threads.submit(yard.engine.remove, waiting) for _ in range(8)]
        yard.engine.kill(waiting)
        yard.engine.remove("0" * 64)

    assert [each.exception() for each in ends] == [None] * 8


FILL = """
import os
for folder in ("/box", "/dev/shm", "/tmp"):
    for number in range({children}):
        if {children} > 1 and os.fork():
            continue
        with open(f"{{folder}}/{{number}}", "wb", buffering=0) as file:
            for _ in range(128):
                file.write(bytes(1 << 20))
"""


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("children", [1, 4], ids=["one process", "many"])
@pytest.mark.parametrize("attempt", range(3))
def test_files_that_take_all_memory_even_our_pid_1s_are_a_memory_limit(
    yard: Yard, runtime: str, children: int, attempt: int
) -> None:
    assert attempt >= 0  # which process the kernel kills is chance
    room = {"disk_bytes": 512 * MIB, "file_bytes": 512 * MIB, "memory_bytes": 48 * MIB}
    backend = DockerBackend(runtime="runsc" if runtime == "runsc" else "runc", warm=0)
    with Sandbox(yard.policy(**room), backend=backend) as box:
        result = box.run(FILL.format(children=children))

    assert result.status == "memory_limit"


def test_a_fault_of_the_engine_while_others_run_ends_one_call_only(yard: Yard) -> None:
    async def calls() -> list[object]:
        ended: list[object] = []
        killed = threading.Event()

        def kill_one(_stream: str, _chunk: bytes) -> None:
            if not killed.is_set():
                killed.set()
                yard.engine.kill(yard.ids()[0])

        async def call(box: AsyncSandbox) -> None:
            try:
                program = "print(1, flush=True)\nimport time\ntime.sleep(1)\n42"
                ended.append((await box.run(program, on_output=kill_one)).value)
            except EngineFault as fault:
                ended.append(fault.started)

        async with (
            AsyncSandbox(yard.policy(), backend=DockerBackend(warm=0)) as box,
            anyio.create_task_group() as group,
        ):
            for _ in range(3):
                group.start_soon(call, box)
        return ended

    ended = anyio.run(calls)
    assert sorted(map(str, ended)) in (["42", "42", "no"], ["42", "42", "yes"])


def test_requests_share_their_connections() -> None:
    """The library would keep one for each address, and close the oldest of 25 that are in use."""
    with closing(DockerEngine()) as engine:
        engine.inspect("0" * 64)
        before = psutil.Process().num_fds()
        for number in range(40):
            engine.inspect(f"{number:064x}")

        assert psutil.Process().num_fds() <= before + 1

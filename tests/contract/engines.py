"""Container engines for tests: a look at the one that is there, and one of a test's own to kill."""

import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn
from uuid import uuid4

import docker
import docker.errors
import psutil
import pytest

from sandbox import EngineFault, Policy
from sandbox.backends.docker_engine import DockerEngine
from sandbox.backends.images import build_image
from tests.conftest import REQUIRED, mechanisms

PATIENCE_SECONDS: Final = 15.0
LOOK_SECONDS: Final = 0.02
STEADY_SECONDS: Final = 0.5
BUSYBOX: Final = Path("/bin/busybox")

needs_engine = pytest.mark.skipif(
    "docker" not in mechanisms(), reason="needs a container engine with our image in it"
)
RUNTIMES: Final = [
    runtime
    for mechanism, runtime in (("docker", "runc"), ("gvisor", "runsc"))
    if mechanism in mechanisms()
]


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Look until it is so, at most for a while; say whether it came to be."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not (seen := is_so()) and time.monotonic() < deadline:
        pause.wait(LOOK_SECONDS)
    return seen


def skip_or_fail(reason: str) -> NoReturn:
    """Leave a test out, but not where everything that it needs is promised."""
    if "docker" in REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


class Yard:
    """The containers of one test, told from all others by the name of their policy."""

    def __init__(self, engine: DockerEngine) -> None:
        self.engine = engine
        self.name = f"test-{uuid4().hex[:12]}"

    def policy(self, **changes: object) -> Policy:
        """Give "strict" with changes, under a name of this test's own."""
        return Policy.load("strict").widen("a test", name=self.name, **changes)

    def ids(self) -> list[str]:
        """Those that are there and are not just being removed."""
        return [
            each["Id"]
            for each in self.engine.owned()
            if each["Labels"].get("sandbox-engine.policy") == self.name
            and each["State"] != "removing"
        ]

    def kill_all(self) -> None:
        """Kill those that run, as somebody else would."""
        for each in self.ids():
            self.engine.kill(each)

    def wait_for(self, count: int) -> list[str]:
        """Wait until there are so many, running, and none of them about to go."""
        assert wait_until(lambda: self._are_steady(count)), self.ids()
        return self.ids()

    def _are_steady(self, count: int) -> bool:
        before = self._running()
        threading.Event().wait(STEADY_SECONDS)
        return len(before) == count and before == self._running() == self.ids()

    def _running(self) -> list[str]:
        states = {each: self.engine.inspect(each).get("State", {}) for each in self.ids()}
        return [each for each, state in states.items() if state.get("Running")]


class OwnEngine:
    """A container engine that a test may kill: started in a folder, ended with all of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/socket"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if self._process and self._process.poll() is None:
            return
        folder = self.folder
        with Path(folder, "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
                    *("--pidfile", f"{folder}/pid", "-H", self.address, "--bridge=none"),
                    *("--iptables=false", "--ip6tables=false"),
                ],
                stdout=log,
                stderr=log,
            )
        if not wait_until(self._answers, 30.0):
            pytest.fail(Path(folder, "log").read_text(errors="replace")[-2000:])

    def _answers(self) -> bool:
        with suppress(EngineFault):
            DockerEngine(self.address).close()
            return True
        return False

    def make_image(self) -> None:
        """Give it the image that guests run in by default."""
        engine = DockerEngine(self.address)
        build_image(engine, "python")
        engine.close()

    def kill(self) -> None:
        """End it at once, and its helper; the parents of its containers live on."""
        self._signal(signal.SIGKILL)
        # The next one must not take them for those that run: the numbers may be somebody's by then.
        for name in ("pid", "exec/containerd/containerd.pid"):
            Path(self.folder, name).unlink(missing_ok=True)

    def stop(self) -> None:
        """Freeze it: it takes connections and says nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Unfreeze it."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(30)
        self._process = None

    def close(self) -> None:
        """End it, what it started, and its mounts."""
        self._signal(signal.SIGTERM)
        for each in self._left_over():
            with suppress(psutil.NoSuchProcess):
                each.kill()
                each.wait(10)
        for place in reversed(self._mounts()):
            subprocess.run(["/bin/umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _left_over(self) -> list[psutil.Process]:
        """Find the processes that name our folder: parents of containers, and their init."""
        found = [
            each
            for each in psutil.process_iter(["cmdline"])
            if any(str(self.folder) in word for word in each.info["cmdline"] or ())
            and each.pid != os.getpid()
        ]
        inner = [child for each in found for child in each.children(recursive=True)]
        return [*inner, *found]

    def _mounts(self) -> list[str]:
        rows = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        return [place for row in rows if (place := row.split()[1]).startswith(str(self.folder))]


def import_tree(
    engine: DockerEngine,
    folder: Path,
    name: str,
    files: Mapping[str, Path | str],
    changes: tuple[str, ...] = (),
) -> str:
    """Make an image of files, each from a path or a link to a name, and empty folders for ""."""
    archive = folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        for target, source in files.items():
            if isinstance(source, Path):
                tar.add(source.resolve(), target)
                continue
            entry = tarfile.TarInfo(target)
            entry.type = tarfile.SYMTYPE if source else tarfile.DIRTYPE
            entry.linkname, entry.mode = source, 0o777
            tar.addfile(entry)
    engine.import_image(archive, name, changes)
    return name


def remove_images_of(engine: DockerEngine, name: str) -> None:
    """Remove an image and what was derived from it, with all that only they are made of."""
    api: Any = docker.APIClient(base_url=engine.address)
    found = [
        each["Id"]
        for each in engine.images("sandbox-engine.base")
        if each["Labels"]["sandbox-engine.base"] == name
    ]
    for image in (*found, name):
        with suppress(docker.errors.ImageNotFound):  # gone with the one before
            api.remove_image(image, force=True)
    api.close()


def volumes_and_networks(engine: DockerEngine) -> set[str]:
    """Name all that the engine has, whoever made them."""
    api: Any = docker.APIClient(base_url=engine.address)
    volumes = {f"volume {each['Name']}" for each in api.volumes()["Volumes"] or ()}
    networks = {f"network {each['Name']}" for each in api.networks()}
    api.close()
    return volumes | networks

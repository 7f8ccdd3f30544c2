"""What is said of a container engine, told by one that answers whatever a test wants."""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from sandbox import EngineFault
from sandbox.backends import docker_probe
from sandbox.backends.docker_engine import LABEL, DockerEngine
from sandbox.backends.docker_probe import (
    EngineReport,
    ask_engine,
    engine_is_named,
    is_runc_mended,
    probe_engine,
    runc_finding,
)
from sandbox.backends.image_build import runner_hash
from sandbox.backends.images import LABEL_RUNNER, LABEL_WIRE, tag_of
from sandbox.backends.processes import owner_name
from sandbox.cli.app import run_command

NAMESPACE = owner_name().rpartition("-")[2]
DEAD, STRANGE = f"1-1-{NAMESPACE}", "1-1-1"
"""An owner that is no more, and one of another pid namespace, of which nobody here can tell."""


class FakeEngine(socketserver.ThreadingUnixStreamServer):
    """Answers as an engine does, out of these dictionaries."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, path: Path) -> None:
        self.said: dict[str, Any] = {
            "version": {"ApiVersion": "1.41", "Version": "28.0", "Components": []},
            "info": {"Runtimes": {"runc": {}, "runsc": {}}, "CgroupVersion": "2", "NCPU": 2},
            "images/json": [image(runner_hash())],
            "containers/json": [],
        }
        self.removed: list[str] = []
        self.can_remove = True
        super().__init__(str(path), _Answers)


class _Answers(BaseHTTPRequestHandler):
    server: FakeEngine  # pyright: ignore[reportIncompatibleVariableOverride]  # made by it alone

    def do_GET(self) -> None:
        words = self.path.partition("?")[0].strip("/").split("/")
        name = "/".join(words[1:] if words[0].startswith("v1.") else words)
        self._say(200, json.dumps(self.server.said[name]).encode())

    def do_DELETE(self) -> None:
        if not self.server.can_remove:
            self._say(500, b'{"message": "the disk is full"}')
            return
        identity = self.path.partition("?")[0].rpartition("/")[2]
        self.server.removed.append(identity)
        there = self.server.said["containers/json"]
        there[:] = [each for each in there if each["Id"][:12] != identity]
        self._say(204, b"")

    def _say(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "a test"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def image(runner: str) -> dict[str, Any]:
    labels = {LABEL_WIRE: "1", LABEL_RUNNER: runner}
    return {"Id": "sha256:1", "RepoTags": [tag_of("python")], "Labels": labels, "Size": 1 << 20}


def container(identity: str, owner: str) -> dict[str, Any]:
    return {"Id": identity, "Labels": {LABEL: owner}, "State": "running", "Created": time.time()}


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """Let DOCKER_HOST name an engine that says what the test wants."""
    with FakeEngine(tmp_path / "engine") as engine:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine'}")
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield engine
        engine.shutdown()
        thread.join()


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let DOCKER_HOST name an engine that takes every connection and never says a word."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine'}")
    monkeypatch.setattr(docker_probe, "PATIENCE_SECONDS", 0.1)
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(tmp_path / "engine"))
        listening.listen()
        yield


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave nothing on this host that names an engine; give the folder of docker's settings."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(docker_probe, "_sockets", lambda: (tmp_path / "socket",))
    return tmp_path


def found(report: EngineReport) -> dict[str, tuple[bool, str]]:
    return {each.name: (each.ok, each.fix) for each in report.findings}


@pytest.mark.parametrize(
    ("version", "is_mended"),
    [
        ("1.1.5+ds1", False),
        ("1.2.0-rc.1", False),
        ("1.2.7", False),
        ("1.2.8-rc.1", False),
        ("1.2.8", True),
        ("1.2.8-0ubuntu1~24.04.1", True),
        ("1.2.10", True),
        ("1.3.0", False),
        ("1.3.2+dev", False),
        ("1.3.3", True),
        ("1.4.0-rc.2", False),
        ("1.4.0-rc.3", True),
        ("1.4.0~rc3", True),
        ("v1.4.0", True),
        ("1.4", True),
        ("1.10.0", True),
        ("2.0.0", True),
        ("0.9.9", False),
    ],
)
def test_a_runc_is_judged_by_its_version(version: str, *, is_mended: bool) -> None:
    assert is_runc_mended(version) is is_mended


@pytest.mark.parametrize("version", ["", "unknown", "commit v1.2.8", "1", "\u0663.\u0664.\u0665"])
def test_what_is_no_version_is_not_judged(version: str) -> None:
    assert is_runc_mended(version) is None


def test_an_old_runc_is_a_warning_that_says_what_to_do() -> None:
    finding = runc_finding("1.1.5+ds1")
    words = ("CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "upgrade", "runsc")
    assert (finding.ok, [word in finding.fix for word in words]) == (False, [True] * 5)


def test_a_runc_of_unknown_version_says_which_one_is_needed() -> None:
    finding = runc_finding("")
    assert (finding.ok, "see that it is 1.2.8" in finding.detail) == (True, True)


def test_a_host_without_any_sign_of_an_engine_names_none(nowhere: Path) -> None:
    assert not engine_is_named(), nowhere


@pytest.mark.parametrize(
    ("written", "is_named"),
    [
        pytest.param('{"currentContext": "mine"}', True, id="a context"),
        pytest.param('{"auths": {}}', False, id="no context"),
        pytest.param("[1]", False, id="no object"),
        pytest.param("{", False, id="no JSON"),
    ],
)
def test_a_docker_context_names_an_engine(nowhere: Path, written: str, *, is_named: bool) -> None:
    (nowhere / "config.json").write_text(written)
    assert engine_is_named() is is_named


def test_a_socket_where_engines_listen_names_one(nowhere: Path) -> None:
    (nowhere / "socket").touch()
    assert engine_is_named()


def test_docker_host_names_an_engine(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{nowhere}/no")
    assert engine_is_named()


@pytest.mark.usefixtures("nowhere")
def test_no_engine_is_one_line() -> None:
    report = probe_engine()
    assert (report.answers, report.findings, "\n" in report.detail) == (False, (), False)


def test_an_engine_that_is_gone_is_told_with_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert "answers at tcp://127.0.0.1:1" in probe_engine().detail


@pytest.mark.usefixtures("silent")
def test_an_engine_that_hangs_is_given_up() -> None:
    with pytest.raises(EngineFault, match="did not answer within"):
        ask_engine(DockerEngine.owned)


@pytest.mark.usefixtures("silent")
def test_an_engine_that_hangs_is_a_finding() -> None:
    assert not probe_engine().answers


@pytest.mark.usefixtures("fake")
def test_a_fault_of_the_question_reaches_whoever_asked() -> None:
    def ask(engine: DockerEngine) -> None:
        raise LookupError(engine.address)

    with pytest.raises(LookupError, match="unix:"):
        ask_engine(ask)


@pytest.mark.usefixtures("fake")
def test_a_good_engine_has_nothing_to_mend() -> None:
    assert {fix for _, fix in found(probe_engine()).values()} == {""}


@pytest.mark.usefixtures("fake")
def test_the_version_and_the_address_are_told() -> None:
    assert probe_engine().detail.startswith("version 28.0 at unix:///")


@pytest.mark.parametrize(
    ("said", "name", "fix"),
    [
        pytest.param({"MemoryLimit": False}, "memory limit", "memory controller", id="memory"),
        pytest.param({"SwapLimit": False}, "swap limit", "swapoff -a", id="swap"),
        pytest.param({"PidsLimit": False}, "process limit", "pids controller", id="processes"),
        pytest.param({"Runtimes": {"runc": {}}}, "runtime runsc", "--network=none", id="gVisor"),
        pytest.param({"Runtimes": {"crun": {}}}, "runtime runc", "install runc", id="no runc"),
    ],
)
def test_what_an_engine_lacks_is_named_with_what_to_do(
    fake: FakeEngine, said: dict[str, Any], name: str, fix: str
) -> None:
    fake.said["info"] |= said
    is_good, to_do = found(probe_engine())[name]
    assert (is_good, fix in to_do) == (False, True)


def test_a_runc_is_found_among_the_components(fake: FakeEngine) -> None:
    fake.said["version"]["Components"] = [{"Name": "runc", "Version": "1.3.2"}]
    assert not found(probe_engine())["version of runc"][0]


@pytest.mark.parametrize(
    ("options", "told"), [([], "no: the engine"), (["name=rootless"], "yes: it")]
)
def test_it_is_told_whether_the_engine_is_root(
    fake: FakeEngine, options: list[str], told: str
) -> None:
    fake.said["info"]["SecurityOptions"] = options
    details = {each.name: each.detail for each in probe_engine().findings}
    assert details["rootless"].startswith(told)


@pytest.mark.parametrize(
    ("images", "is_good"),
    [
        pytest.param([image(runner_hash())], True, id="current"),
        pytest.param([image("older")], False, id="older"),
        pytest.param([], False, id="not made"),
    ],
)
def test_the_image_of_every_call_must_be_there_and_current(
    fake: FakeEngine, images: list[dict[str, Any]], *, is_good: bool
) -> None:
    fake.said["images/json"] = images
    fix = "" if is_good else "sandbox images build python"
    assert found(probe_engine())["image python"] == (is_good, fix)


def test_an_image_that_nobody_asked_for_may_be_missing(fake: FakeEngine) -> None:
    fake.said["images/json"] = []
    assert found(probe_engine())["image data"] == (True, "")


def test_an_image_of_podmans_own_is_known(fake: FakeEngine) -> None:
    fake.said["images/json"][0]["RepoTags"] = [f"localhost/{tag_of('python')}"]
    assert found(probe_engine())["image python"][0]


def test_gc_removes_the_containers_of_the_dead_only(
    fake: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.said["containers/json"] = [
        container("d" * 64, DEAD),
        container("a" * 64, owner_name()),
        container("5" * 64, STRANGE),
    ]
    status = run_command(["gc"])
    said = [line for line in capfd.readouterr().out.splitlines() if "container" in line]
    assert (status, fake.removed, said) == (0, ["d" * 12], [f"removed container {'d' * 12}"])


def test_gc_says_what_it_could_not_remove(
    fake: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.said["containers/json"] = [container("d" * 64, DEAD)]
    fake.can_remove = False
    status = run_command(["gc"])
    assert (status, capfd.readouterr().err) == (
        1,
        f"sandbox: container {'d' * 12} cannot be removed\n",
    )


def test_ps_lists_containers_by_their_kind(
    fake: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.said["containers/json"] = [container("d" * 64, DEAD), container("5" * 64, STRANGE)]
    run_command(["ps"])
    rows = [line.split() for line in capfd.readouterr().out.splitlines() if "container" in line]
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        ("d" * 12, "container", "gc'"),
        ("5" * 12, "container", "-"),
    ]


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(("command", "status"), [("ps", 0), ("gc", 1)])
def test_an_engine_that_hangs_is_one_line_on_stderr(
    command: str, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run_command([command])
    said = capfd.readouterr().err.splitlines()
    assert (done, len(said), "did not answer" in said[0]) == (status, 1, True)


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("command", ["ps", "gc"])
def test_where_no_engine_is_nothing_is_said_of_it(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run_command([command])
    assert capfd.readouterr().err == ""

"""Containers from the command line and from a sandbox, with a real container engine."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox import Policy, Sandbox
from sandbox.backends.docker_engine import LABEL, DockerEngine, EngineInfo
from sandbox.backends.docker_leftovers import find_containers
from sandbox.backends.images import tag_of
from sandbox.backends.processes import owner_name
from sandbox.result import Result
from tests.conftest import engine_info
from tests.contract.command_line import sandbox, started

pytestmark = pytest.mark.slow

INFO = engine_info()
needs_engine = pytest.mark.skipif(isinstance(INFO, str), reason="needs a container engine")
needs_gvisor = pytest.mark.skipif(
    not isinstance(INFO, EngineInfo) or "runsc" not in INFO.runtimes,
    reason="needs a container engine with the runtime runsc",
)

DOCKER = ("--backend", "docker")
WAITS = "print('ready')\nimport time\ntime.sleep(60)"


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    """Give the engine itself."""
    with closing(DockerEngine()) as found:
        yield found


@needs_engine
@pytest.mark.parametrize(
    ("words", "status"),
    [
        pytest.param(["run", *DOCKER, "-c", "1"], 0, id="ok"),
        pytest.param(["run", *DOCKER, "-c", "raise SystemExit(7)"], 7, id="exit"),
        pytest.param(
            ["run", *DOCKER, "--timeout", "0.5", "-c", "while True: pass"], 124, id="timeout"
        ),
        pytest.param(
            ["run", *DOCKER, "--memory", "64MiB", "-c", "x = b'x' * (1 << 30)"], 137, id="memory"
        ),
        pytest.param(["exec", *DOCKER, "--", "sh", "-c", "exit 3"], 3, id="program"),
        pytest.param(["exec", *DOCKER, "--", "no-such-program"], 127, id="no program"),
    ],
)
def test_the_exit_status_says_the_verdict(words: list[str], status: int) -> None:
    assert sandbox(*words).returncode == status


@needs_engine
def test_a_call_in_a_container_has_its_output_and_its_value() -> None:
    done = sandbox("run", *DOCKER, "-c", "print('six'); 6 * 7")
    assert (done.stdout, done.stderr) == ("six\n42\n", "")


@needs_engine
def test_a_container_is_made_of_the_image_that_is_named() -> None:
    done = sandbox("run", *DOCKER, "--image", tag_of("python"), "-c", "6 * 7")
    assert done.stdout == "42\n"


@needs_gvisor
def test_a_runtime_can_be_chosen() -> None:
    done = sandbox("run", *DOCKER, "--runtime", "runsc", "--json", "-c", "6 * 7")
    assert Result.from_json(done.stdout).enforced.isolation == "gvisor"


@needs_engine
def test_a_policy_that_asks_for_a_container_gets_one(tmp_path: Path) -> None:
    document = tmp_path / "policy.toml"
    document.write_text('extends = "strict"\nisolation = "container"\n')
    done = sandbox("run", "--policy", str(document), "--json", "-c", "6 * 7")
    assert Result.from_json(done.stdout).enforced.isolation == "container"


@needs_engine
def test_a_sandbox_with_such_a_policy_gets_one_too() -> None:
    with Sandbox(Policy.load("strict").narrow(isolation="container")) as box:
        assert box.run("6 * 7").enforced.isolation == "container"


@needs_gvisor
def test_a_sandbox_runs_what_it_was_told_to_run_on() -> None:
    with Sandbox(backend="docker", image="python", runtime="runsc") as box:
        assert box.run("6 * 7").enforced.isolation == "gvisor"


@needs_engine
def test_one_call_starts_one_container(engine: DockerEngine) -> None:
    sandbox("run", *DOCKER, "-c", "1")  # an image that is not current is made so by one call
    begun = int(time.time())
    with started("run", *DOCKER, "-c", "6 * 7") as process:
        process.wait()
    api: Any = docker.APIClient(base_url=engine.address, version="auto")
    with closing(api):
        wanted = {"type": ["container"], "label": [LABEL], "event": ["create"]}
        until = int(time.time()) + 1
        events = [*api.events(since=begun, until=until, decode=True, filters=wanted)]
    owners = [each["Actor"]["Attributes"][LABEL] for each in events]
    assert len([owner for owner in owners if owner.startswith(f"{process.pid}-")]) == 1


@needs_engine
def test_a_call_leaves_no_container(engine: DockerEngine) -> None:
    with started("run", *DOCKER, "-c", "6 * 7") as process:
        process.wait()
    left = [each for each in find_containers(engine) if each.owner_pid == process.pid]
    assert [each for each in left if each.state != "removing"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--backend", "podman"], "--backend", id="misspelt backend"),
        pytest.param(["--image", "data"], "add --backend docker", id="image of a subprocess"),
        pytest.param(["--runtime", "runc"], "add --backend docker", id="runtime of a subprocess"),
        pytest.param([*DOCKER, "--runtime", "kata"], "--runtime", id="misspelt runtime"),
        pytest.param([*DOCKER, "--image", "-v/:/host"], "no name of an image", id="an option"),
        pytest.param(DOCKER, "set DOCKER_HOST", id="no engine"),
    ],
)
def test_a_fault_is_one_line_that_says_what(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    done = sandbox("run", *words, "-c", "1")
    assert (done.returncode, done.stderr.count("\n"), said in done.stderr) == (125, 1, True)


@needs_engine
def test_an_image_that_is_not_there_is_one_line_that_says_what_to_do() -> None:
    done = sandbox("run", *DOCKER, "--image", "sandbox-engine/no-such:1", "-c", "1")
    assert (done.returncode, "run 'sandbox images build'" in done.stderr) == (125, True)


@needs_engine
def test_ps_lists_the_container_of_a_call() -> None:
    with started("run", *DOCKER, "--timeout", "50", "-c", WAITS) as process:
        assert process.stdout
        process.stdout.readline()
        rows = json.loads(sandbox("ps", "--json").stdout)
    kinds = [(row["kind"], row["policy"]) for row in rows if row["owner_pid"] == process.pid]
    assert kinds == [("container", "strict with --timeout")]


@pytest.fixture
def idle(engine: DockerEngine, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a container that never starts, with the owner that the test says."""
    configuration = {"Image": tag_of("python"), "Cmd": ["true"], "Labels": {LABEL: request.param}}
    identity = engine.create(configuration)
    yield identity
    engine.remove(identity)


DEAD = f"1-1-{owner_name().rpartition('-')[2]}"


@needs_engine
@pytest.mark.parametrize(
    ("idle", "is_there"),
    [
        pytest.param(DEAD, False, id="dead"),
        pytest.param(owner_name(), True, id="living"),
    ],
    indirect=["idle"],
)
def test_gc_removes_the_containers_of_the_dead_only(
    idle: str, engine: DockerEngine, *, is_there: bool
) -> None:
    done = sandbox("gc")
    assert (done.returncode, bool(engine.inspect(idle))) == (0, is_there)


@needs_engine
def test_doctor_tells_of_the_engine() -> None:
    report = json.loads(sandbox("doctor", "--json").stdout)["container_engine"]
    names = {each["name"] for each in report["findings"]}
    assert {"memory limit", "swap limit", "process limit", "cgroups", "rootless"} <= names


@needs_engine
def test_doctor_runs_a_guest_where_the_image_for_it_is_current() -> None:
    report = json.loads(sandbox("doctor", "--json").stdout)["container_engine"]
    is_good = {each["name"]: each["ok"] for each in report["findings"]}
    assert is_good.get("a guest of runc", False) == is_good["image python"]


@needs_engine
def test_doctor_says_what_to_do_about_an_engine_and_nothing_else() -> None:
    findings = json.loads(sandbox("doctor", "--json").stdout)["container_engine"]["findings"]
    assert [each["ok"] for each in findings] == [each["fix"] == "" for each in findings]


def test_doctor_is_content_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    done = sandbox("doctor")
    lines = [line for line in done.stdout.splitlines() if line.startswith("Container engine")]
    assert (done.returncode, len(lines), "CONTAINERS" in done.stdout) == (0, 1, False)


def test_doctor_tells_a_program_that_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    report = json.loads(sandbox("doctor", "--json").stdout)
    assert (report["can_run"], report["container_engine"]["answers"]) == (True, False)

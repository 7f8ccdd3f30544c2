"""Which backend runs a call: what was named, or else what the policy's isolation asks for."""

import subprocess
import sys

import pytest

from sandbox import AsyncSandbox, BadCall, Policy, Sandbox
from sandbox.choices import BackendName, as_backend, backend_for
from sandbox.policy_terms import Isolation


@pytest.mark.parametrize(
    ("isolation", "name"),
    [("process", "subprocess"), ("container", "docker"), ("gvisor", "docker")],
)
def test_the_isolation_of_a_policy_names_a_backend(isolation: Isolation, name: BackendName) -> None:
    policy = Policy.load("strict").narrow(isolation=isolation)
    assert backend_for(policy) == name


@pytest.mark.parametrize("name", ["subprocess", "docker"])
def test_a_backend_is_given_by_its_name(name: BackendName) -> None:
    assert as_backend(name, ()).name == name


@pytest.mark.parametrize("sandbox_class", [Sandbox, AsyncSandbox])
@pytest.mark.parametrize("backend", ["podman", "Docker", ""])
def test_a_misspelt_backend_is_told_both_names(
    sandbox_class: type[Sandbox | AsyncSandbox], backend: BackendName
) -> None:
    with pytest.raises(BadCall, match="use 'subprocess' or 'docker'"):
        sandbox_class(backend=backend)


@pytest.mark.parametrize("sandbox_class", [Sandbox, AsyncSandbox])
@pytest.mark.parametrize("backend", [None, "subprocess", as_backend("subprocess", ())])
def test_an_image_is_for_containers_only(
    sandbox_class: type[Sandbox | AsyncSandbox], backend: BackendName | None
) -> None:
    with pytest.raises(BadCall, match="use backend='docker' with them"):
        sandbox_class(backend=backend, image="data")


def test_a_runtime_is_for_containers_only() -> None:
    with pytest.raises(BadCall, match="use backend='docker' with them"):
        Sandbox(runtime="runsc")


def test_an_image_may_be_named_where_the_policy_asks_for_a_container() -> None:
    policy = Policy.load("strict").narrow(isolation="container")
    assert Sandbox(policy, image="data").policy == policy


@pytest.mark.parametrize("image", ["", "--privileged", "python --privileged"])
def test_no_option_of_the_engine_can_be_given_as_an_image(image: str) -> None:
    with pytest.raises(BadCall, match="is no name of an image"):
        Sandbox(backend="docker", image=image)


def test_a_misspelt_runtime_is_told_both_names() -> None:
    with pytest.raises(BadCall, match="use 'runc' or 'runsc'"):
        Sandbox(backend="docker", runtime="kata")  # type: ignore[arg-type]  # what is tested


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    ["import sandbox", "import sandbox; sandbox.Sandbox()", "import sandbox.cli.calls"],
    ids=["import", "a sandbox", "the command line"],
)
def test_docker_is_imported_for_containers_only(code: str) -> None:
    look = f"{code}; import sys; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ps", "gc"])
def test_docker_is_not_imported_where_nothing_names_an_engine(command: str) -> None:
    code = f"""
import os, sys
os.environ.pop("DOCKER_HOST", None)
os.environ["DOCKER_CONFIG"] = os.devnull
from sandbox.backends import docker_probe
docker_probe._sockets = lambda: ()
from sandbox.cli.app import run_command
run_command([{command!r}])
sys.exit("docker" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 0

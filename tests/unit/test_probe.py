"""What the host offers, and what is said of what it does not."""

import errno
from collections.abc import Mapping

import pytest

from sandbox.backends import probe as probing
from sandbox.backends.probe import Finding, landlock_abi, probe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    """Give what is found on this host."""
    return {finding.name: finding for finding in probe()}


def test_every_mechanism_is_named_once(findings: dict[str, Finding]) -> None:
    assert len(findings) == len(probe())


def refuse_namespaces(
    monkeypatch: pytest.MonkeyPatch, number: int, settings: Mapping[str, str]
) -> None:
    """Let every namespace fail with an errno, on a kernel with these settings only."""

    def attempts(flags: list[int]) -> list[int]:
        return [number] * len(flags)

    def setting(name: str) -> str:
        return settings.get(name, "")

    monkeypatch.setattr(probing, "_attempts", attempts)
    monkeypatch.setattr(probing, "_setting", setting)


@pytest.mark.parametrize("name", ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"])
def test_each_namespace_is_tried(name: str, findings: dict[str, Finding]) -> None:
    assert f"{name} namespace" in findings


@pytest.mark.parametrize(
    ("number", "said"),
    [
        pytest.param(errno.ENOSPC, "sysctl -w user.max_user_namespaces", id="none left"),
        pytest.param(errno.EINVAL, "a kernel that is built with", id="not in the kernel"),
        pytest.param(errno.EPERM, "allow unshare(2)", id="forbidden"),
    ],
)
def test_each_reason_for_no_namespaces_has_its_own_fix(
    number: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_namespaces(monkeypatch, number, settings={})
    found = {finding.name: finding for finding in probe()}["user namespace"]
    assert (found.ok, said in found.fix) == (False, True)


def test_a_switch_that_is_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = "kernel/unprivileged_userns_clone"
    refuse_namespaces(monkeypatch, errno.EPERM, settings={switch: "0"})
    found = {finding.name: finding for finding in probe()}["user namespace"]
    assert found.fix == "sysctl -w kernel.unprivileged_userns_clone=1"


def test_a_kernel_without_landlock_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, landlock_abi.__name__, lambda: 0)
    found = {finding.name: finding for finding in probe()}["landlock"]
    assert (found.ok, "lsm=" in found.fix) == (False, True)

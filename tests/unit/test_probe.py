"""What the host offers, and what is said of what it does not."""

from pathlib import Path

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


@pytest.mark.parametrize("name", ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"])
def test_each_namespace_is_tried(name: str, findings: dict[str, Finding]) -> None:
    assert f"{name} namespace" in findings


def test_landlock_is_what_the_kernel_says(findings: dict[str, Finding]) -> None:
    listed = Path("/sys/kernel/security/lsm")
    if not listed.exists():
        pytest.skip("securityfs is not mounted here")
    assert findings["landlock"].ok == ("landlock" in listed.read_text().split(","))


def test_a_kernel_without_landlock_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, landlock_abi.__name__, lambda: 0)
    found = {finding.name: finding for finding in probe()}["landlock"]
    assert (found.ok, "lsm=" in found.fix) == (False, True)

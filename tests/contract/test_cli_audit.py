"""`sandbox audit verify`."""

from pathlib import Path

import pytest

from sandbox.tools.audit_chain import append_record, verify_log
from tests.contract.command_line import sandbox

pytestmark = pytest.mark.slow


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of three lines."""
    for number in range(3):
        append_record(tmp_path / "log", {"event": "test", "number": number})
    return tmp_path / "log"


def test_a_log_in_order_gives_its_head(log: Path) -> None:
    done = sandbox("audit", "verify", str(log))
    assert (done.returncode, done.stdout) == (
        0,
        f"{log}: ok, 3 lines, head {verify_log(log).head}\n",
    )


def test_a_changed_log_gives_its_first_bad_line(log: Path) -> None:
    log.write_text(log.read_text().replace('"number":1', '"number":7'))
    done = sandbox("audit", "verify", str(log))
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"sandbox: {log}: line 3: it does not follow from the line before it\n",
    )


@pytest.mark.parametrize(
    ("noted", "status"),
    [pytest.param(True, 0, id="of it"), pytest.param(False, 1, id="of another")],
)
def test_a_noted_head_must_be_in_the_log(*, noted: bool, status: int, log: Path) -> None:
    head = verify_log(log).head if noted else "0" * 64
    assert sandbox("audit", "verify", "--noted", head, str(log)).returncode == status


def test_a_line_that_the_head_does_not_know_yet_is_said(log: Path) -> None:
    head = log.with_name("log.head").read_bytes()
    append_record(log, {"event": "late"})
    log.with_name("log.head").write_bytes(head)
    done = sandbox("audit", "verify", str(log))
    assert (done.returncode, "one line behind" in done.stderr) == (0, True)


def test_a_log_that_is_not_there_is_one_line_on_stderr(tmp_path: Path) -> None:
    done = sandbox("audit", "verify", str(tmp_path / "none"))
    assert (done.returncode, len(done.stderr.splitlines())) == (125, 1)

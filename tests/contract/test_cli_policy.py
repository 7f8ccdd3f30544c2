"""`sandbox policy` and `sandbox doctor`."""

import json
from pathlib import Path

import pytest

from sandbox import Policy
from sandbox.policy import preset_names
from sandbox.result import Enforced
from sandbox.shipped import POLICIES
from tests.contract.command_line import sandbox

pytestmark = pytest.mark.slow


def test_the_list_names_every_preset() -> None:
    _, *rows = sandbox("policy", "list").stdout.splitlines()
    assert [row.split()[0] for row in rows] == list(preset_names())


def test_show_gives_the_document_as_it_is() -> None:
    assert sandbox("policy", "show", "strict").stdout == (POLICIES / "strict.toml").read_text()


def test_explain_says_what_the_policy_says() -> None:
    assert sandbox("policy", "explain", "compute").stdout == Policy.load("compute").explain() + "\n"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        pytest.param('extends = "strict"\n', 0, id="good"),
        pytest.param('extends = "strict"\nquota = {cpus = 2}\n', 1, id="wider without a reason"),
        pytest.param("quota = {cpu = 2}\n", 1, id="misspelt key"),
        pytest.param("quota = {\n", 1, id="no TOML"),
    ],
)
def test_check_says_by_its_status_if_a_document_is_good(
    document: str, status: int, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(document)
    done = sandbox("policy", "check", str(path))
    assert (done.returncode, len(done.stderr.splitlines())) == (status, status)


def test_diff_says_the_direction_of_each_change() -> None:
    lines = sandbox("policy", "diff", "strict", "compute").stdout.splitlines()
    assert "quota.wall_seconds: 5 s -> 120 s (wider)" in lines


@pytest.mark.parametrize(("other", "status"), [("strict", 0), ("compute", 1)])
def test_diff_says_by_its_status_if_there_is_any(other: str, status: int) -> None:
    assert sandbox("policy", "diff", "strict", other).returncode == status


def test_doctor_runs_a_guest_and_says_so() -> None:
    done = sandbox("doctor")
    assert (done.returncode, "Guests run here: 6 * 7 is 42" in done.stdout) == (0, True)


def test_doctor_names_what_holds_each_limit() -> None:
    report = json.loads(sandbox("doctor", "--json").stdout)
    assert report["enforced"].keys() == Enforced.model_fields.keys()


def test_doctor_says_how_to_get_what_is_missing_and_nothing_else() -> None:
    findings = json.loads(sandbox("doctor", "--json").stdout)["findings"]
    assert [each["ok"] for each in findings] == [each["fix"] == "" for each in findings]

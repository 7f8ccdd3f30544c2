"""Narrowing only ever takes away; widening needs a reason."""

from typing import Any

import pytest

from sandbox.errors import BadPolicy
from sandbox.policy import (
    MIB,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    ListedHostTools,
    ListedPrograms,
    NoNetwork,
    NoPrograms,
    Policy,
    Quota,
)

NARROWER = [
    {"wall_seconds": 1},
    {"memory_bytes": 16 * MIB, "cpus": 1},
    {"quota": Quota(processes=1)},
    {"network": NoNetwork()},
    {"network": Hosts(allow=("a.example.org", "*.x.example.org"))},
    {"files": ()},
    {"files": (FileGrant(path="/in", reason="other words"),)},
    {"files": (FileGrant(path="/out", reason="now only read"),)},
    {"environment": Environment(inherit=("LANG",))},
    {"environment": Environment(values={"SEED": "1"})},
    {"programs": NoPrograms()},
    {"host_tools": ListedHostTools(allow=("search",))},
    {"fresh_interpreter": True},
    {"name": "other", "summary": "for others"},
]
WIDER = [
    ({"wall_seconds": 6}, "quota.wall_seconds: 5 s -> 6 s"),
    ({"quota": Quota(processes=33)}, "quota.processes: 32 -> 33"),
    ({"network": FullNetwork(reason="r")}, "network: only *.example.org -> all of the host's"),
    ({"network": Hosts(allow=("example.org",))}, "network: "),
    ({"network": Hosts(allow=("badexample.org",))}, "network: "),
    ({"network": Hosts(allow=("*.org.example.org", "b.org"))}, "network: "),
    ({"files": (FileGrant(path="/in", access="write", reason="r"),)}, "files: "),
    ({"files": (FileGrant(path="/in/sub", reason="may be a link"),)}, "files: "),
    ({"files": (FileGrant(path="/in", at="/elsewhere", reason="r"),)}, "files: "),
    ({"environment": Environment(inherit=("SECRET",))}, "environment: "),
    ({"environment": Environment(inherit=("SEED",))}, "environment: "),
    ({"environment": Environment(values={"SEED": "2"})}, "environment: "),
    ({"programs": ListedPrograms(allow=("/usr/bin/env", "/usr/bin/gcc"))}, "programs: "),
    ({"host_tools": ListedHostTools(allow=("search", "send"))}, "host_tools: "),
]
BASE = Policy(
    network=Hosts(allow=("*.example.org",)),
    files=(
        FileGrant(path="/in", reason="input"),
        FileGrant(path="/out", access="write", reason="output"),
    ),
    environment=Environment(inherit=("LANG",), values={"SEED": "1"}),
    programs=ListedPrograms(allow=("/usr/bin/env", "/usr/bin/awk")),
    host_tools=ListedHostTools(allow=("search", "read")),
)


@pytest.mark.parametrize("changes", NARROWER, ids=repr)
def test_narrowing_gives_what_takes_away(changes: dict[str, Any]) -> None:
    narrowed = BASE.narrow(**changes)

    given = dict(narrowed) | dict(narrowed.quota)
    assert {key: given[key] for key in changes} == changes


@pytest.mark.parametrize(("changes", "said"), WIDER, ids=repr)
def test_narrowing_refuses_what_adds(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadPolicy, match=r"narrowing only takes away") as refusal:
        BASE.narrow(**changes)

    assert f"narrowing only takes away: {said}" in str(refusal.value)


@pytest.mark.parametrize("changes", [changes for changes, _ in WIDER], ids=repr)
def test_widening_gives_what_narrowing_refuses(changes: dict[str, Any]) -> None:
    widened = BASE.widen("asked for", **changes)

    given = dict(widened) | dict(widened.quota)
    assert {key: given[key] for key in changes} == changes


def test_widening_needs_a_reason() -> None:
    with pytest.raises(BadPolicy, match="needs a reason"):
        Policy().widen(" ", wall_seconds=10)


def test_a_widened_policy_is_not_called_as_before() -> None:
    assert Policy(name="strict").widen("asked for", cpus=2).name == ""


def test_a_fresh_interpreter_cannot_be_given_up_by_narrowing() -> None:
    with pytest.raises(BadPolicy, match="fresh_interpreter: yes -> no"):
        Policy(fresh_interpreter=True).narrow(fresh_interpreter=False)


def test_narrowing_to_another_policy_gives_the_other() -> None:
    other = Policy(quota=Quota(wall_seconds=1), name="other")

    narrowed = Policy().narrow(other, cpu_seconds=1)

    assert narrowed == Policy(quota=Quota(wall_seconds=1, cpu_seconds=1), name="other")


def test_narrowing_to_a_wider_policy_is_refused() -> None:
    with pytest.raises(BadPolicy, match="narrowing only takes away"):
        Policy().narrow(Policy(quota=Quota(wall_seconds=6)))


def test_taking_away_a_read_only_grant_inside_a_writable_one_is_wider() -> None:
    outer = FileGrant(path="/project", access="write", reason="the work")
    inner = FileGrant(path="/project/.git", reason="history stays")

    with pytest.raises(BadPolicy, match="files: "):
        Policy(files=(outer, inner)).narrow(files=(outer,))


def test_taking_away_a_writable_grant_inside_a_read_only_one_is_narrower() -> None:
    outer = FileGrant(path="/project", reason="the work")
    inner = FileGrant(path="/project/out", access="write", reason="the output")

    assert Policy(files=(outer, inner)).narrow(files=(outer,)).files == (outer,)


def test_taking_away_a_grant_that_hides_other_files_is_wider() -> None:
    outer = FileGrant(path="/project", reason="the work")
    cover = FileGrant(path="/empty", at="/project/secrets", reason="hides the secrets")

    with pytest.raises(BadPolicy, match="files: "):
        Policy(files=(outer, cover)).narrow(files=(outer,))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wall_second": 1}, "wall_second: unknown key, did you mean wall_seconds?"),
        ({"netwrok": NoNetwork()}, "netwrok: unknown key, did you mean network?"),
        ({"wall_seconds": 0}, "quota.wall_seconds: should be greater than 0, not 0"),
        ({"wall_seconds": "1"}, "quota.wall_seconds: should be a valid number, not '1'"),
        ({"network": "none"}, "network: is no table: write it as a [table] or as {key = value}"),
        ({"quota": Quota(), "cpus": 1}, "quota and cpus are both given: give one of them"),
    ],
    ids=repr,
)
def test_narrowing_says_what_does_not_fit(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadPolicy) as refusal:
        Policy(name="mine").narrow(**changes)

    assert str(refusal.value) == f"policy 'mine': {said}"

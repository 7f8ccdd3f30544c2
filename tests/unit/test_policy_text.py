"""A policy in sentences, and what changed between two."""

from typing import Any

import pytest

from sandbox.policy import (
    Change,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    Policy,
    Quota,
    Terms,
    diff,
)

QUOTA_CHANGES = {key: amount + 16 for key, amount in Quota()}


def test_every_key_has_a_line_of_its_own() -> None:
    keys = len(Terms.model_fields) - len(["quota"]) + len(Quota.model_fields)

    assert len(Policy().explain().splitlines()) == keys


@pytest.mark.parametrize(("key", "amount"), QUOTA_CHANGES.items(), ids=QUOTA_CHANGES)
def test_every_quota_is_explained_exactly(key: str, amount: float) -> None:
    before = Policy().explain().splitlines()
    after = Policy(quota=Quota.model_validate({key: amount})).explain().splitlines()

    assert sum(line != other for line, other in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({}, "Network: none."),
        ({"network": Hosts(allow=("a.org",))}, "Network: only a.org."),
        ({"network": FullNetwork(reason="a crawler")}, "Network: all of the host's (a crawler)."),
        ({}, "Files of the host: none."),
        (
            {"files": (FileGrant(path="/in", at="/data", reason="input"),)},
            "Files of the host: read /in as /data (input).",
        ),
        (
            {"files": (FileGrant(path="/out", access="write", reason="reports"),)},
            "Files of the host: write /out (reports).",
        ),
        ({}, "Environment variables: none of the host's."),
        (
            {"environment": Environment(inherit=("LANG",), values={"SEED": "1"})},
            "Environment variables: SEED='1', LANG from the host.",
        ),
        (
            {"programs": ListedPrograms(allow=("/usr/bin/awk",))},
            "Programs it may start: only /usr/bin/awk.",
        ),
        (
            {"packages": InstalledPackages(reason="numpy")},
            (
                "Python packages beside the standard library: "
                "those installed on the host, read-only (numpy)."
            ),
        ),
        (
            {"host_tools": ListedHostTools(allow=("search",))},
            "Tools of the host it may call: only search.",
        ),
        ({"fresh_interpreter": True}, "A new interpreter for each call: yes."),
        ({}, "Memory of all processes, no swap: 256 MiB, then memory_limit."),
        (
            {"quota": Quota(memory_bytes=3 * 1024**3)},
            "Memory of all processes, no swap: 3 GiB, then memory_limit.",
        ),
        ({"quota": Quota(file_bytes=1025)}, "Largest single file: 1025 bytes, then disk_limit."),
        ({"quota": Quota(file_bytes=1536)}, "Largest single file: 1536 bytes, then disk_limit."),
        ({"quota": Quota(wall_seconds=0.25)}, "Real time: 0.25 s, then timeout."),
        ({}, "Real time: 5 s, then timeout."),
    ],
)
def test_a_term_is_explained_in_a_sentence(keys: dict[str, Any], line: str) -> None:
    assert line in Policy(**keys).explain().splitlines()


def test_a_policy_does_not_differ_from_itself_under_another_name() -> None:
    assert diff(Policy(), Policy(name="other", summary="for others", reason="none")) == ()


def with_reasons(reason: str) -> Policy:
    return Policy(
        network=FullNetwork(reason=reason),
        files=(FileGrant(path="/in", reason=reason),),
        packages=InstalledPackages(reason=reason),
    )


def test_reasons_alone_are_no_difference() -> None:
    assert diff(with_reasons("because"), with_reasons("it must")) == ()


def test_reasons_alone_change_no_fingerprint() -> None:
    assert with_reasons("because").fingerprint == with_reasons("it must").fingerprint


def test_a_difference_says_key_values_and_direction() -> None:
    changes = diff(Policy(), Policy(quota=Quota(wall_seconds=1, cpus=2)))

    assert changes == (
        Change(key="quota.wall_seconds", before="5 s", after="1 s", direction="narrower"),
        Change(key="quota.cpus", before="1", after="2", direction="wider"),
    )


def test_what_neither_side_covers_is_different() -> None:
    one, other = (Policy(network=Hosts(allow=(name,))) for name in ("a.org", "b.org"))

    assert [str(change) for change in diff(one, other)] == [
        "network: only a.org -> only b.org (different)"
    ]

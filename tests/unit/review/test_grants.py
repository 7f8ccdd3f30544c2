"""Permissions that nobody used: each is named, and none that was used."""

from typing import Any

import pytest

from sandbox.policy import (
    Environment,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    NoPrograms,
    Policy,
    Quota,
)
from sandbox.record import Event
from sandbox.review.grants import unused_grants
from tests.unit.review.least_records import (
    file,
    imported,
    network,
    read,
    run,
    started,
    usage,
    variable,
)

CLOSED: dict[str, Any] = {"programs": NoPrograms()}
TIGHT = Quota(
    wall_seconds=1,
    cpu_seconds=1,
    memory_bytes=64 << 20,
    processes=4,
    output_bytes=64,
    result_bytes=64,
)
READABLE: dict[str, Any] = {"files": [{"path": "/data", "reason": "a test"}]}
WRITABLE: dict[str, Any] = {"files": [{"path": "/data", "access": "write", "reason": "a test"}]}
OPEN = {"network": FullNetwork(reason="a test")}
HOSTS = {"network": Hosts(allow=("*.example.org", "other.net"))}
INSTALLED = {"packages": InstalledPackages(reason="a test")}
GIVEN = {"environment": Environment(inherit=("A",), values={"B": "1"})}
LISTED = {"programs": ListedPrograms(allow=("/usr/bin/env", "/usr/bin/id"))}


def unused(terms: dict[str, Any], *events: Event) -> tuple[str, ...]:
    policy = Policy.model_validate({**CLOSED, "quota": TIGHT, **terms})
    return unused_grants(policy, [run(), run(*events)])


@pytest.mark.parametrize(
    ("terms", "event", "sentence"),
    [
        (
            OPEN,
            network("connect", "127.0.0.1"),
            "The network is the host's, and no run went beyond its own loopback.",
        ),
        (READABLE, read("/other"), "/data may be read, and no run used it."),
        (WRITABLE, read("/other"), "/data may be written, and no run used it."),
        (WRITABLE, read("/data/x"), "/data may be written, and it was only read."),
        (
            {"programs": {"kind": "any"}},
            read("/x"),
            "Any program may be started, and no run started one.",
        ),
        (
            LISTED,
            started("/usr/bin/env"),
            "The program /usr/bin/id may be started, and no run started it.",
        ),
        (
            INSTALLED,
            file("list", "/opt/packages/0"),
            "Installed packages may be imported, and no run read one.",
        ),
        (
            HOSTS,
            network("resolve", name="a.example.org"),
            "The host other.net may be reached, and no run asked for it.",
        ),
        (
            {"host_tools": ListedHostTools(allow=("search",))},
            read("/x"),
            "The host's tool search may be called, and whether a run did cannot be told.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_run_used_is_named(terms: dict[str, Any], event: Event, sentence: str) -> None:
    assert unused(terms, event) == (sentence,)


@pytest.mark.parametrize(
    ("terms", "event"),
    [
        (OPEN, network("connect", "203.0.113.5")),
        (READABLE, read("/data/x")),
        (WRITABLE, file("create", "/data/x")),
        ({"programs": {"kind": "any"}}, started("/usr/bin/env")),
        (INSTALLED, read("/opt/packages/0/x.py")),
        ({}, read("/x")),
    ],
    ids=["network", "read", "write", "programs", "packages", "nothing granted"],
)
def test_what_a_run_used_is_not_named(terms: dict[str, Any], event: Event) -> None:
    assert unused(terms, event) == ()


def test_a_variable_is_unread_only_where_python_told() -> None:
    policy = Policy.model_validate({**CLOSED, **GIVEN, "quota": TIGHT})
    told = run(variable("A"), imported("json"))

    assert unused_grants(policy, [told]) == (
        "The variable B is given, and no run was seen to read it.",
    )
    assert unused_grants(policy, [run(), told]) == (
        "The variable B is given, and whether a run read it cannot be told.",
    )


def test_a_quota_over_ten_times_the_peak_is_a_hint_at_the_end() -> None:
    policy = Policy.model_validate({"quota": TIGHT.model_copy(update={"wall_seconds": 3.1})})
    said = unused_grants(policy, [run(usage=usage(wall_seconds=0.3))])

    assert said == (
        "Any program may be started, and no run started one.",
        "Hint: quota.wall_seconds is 3.1, and a run used at most 0.3.",
    )


def test_a_quota_of_ten_times_the_peak_is_no_hint() -> None:
    assert unused({"quota": TIGHT.model_copy(update={"wall_seconds": 3.0})}) == ()

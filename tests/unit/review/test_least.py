"""The smallest policy: what was used stays, what was not goes, and nothing gets wider."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from sandbox.policy import (
    AnyProgram,
    Environment,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    NoNetwork,
    NoPackages,
    NoPrograms,
    Policy,
)
from sandbox.review.least import least_policy, wider_than
from sandbox.review.model import Run
from tests.unit.review.least_records import (
    file,
    imported,
    network,
    read,
    run,
    started,
    variable,
)

OPEN = FullNetwork(reason="a test")
INSTALLED = InstalledPackages(reason="a test")
SEEN_TO_READ = (variable("A"), imported("json"))


def least(base: Policy, *runs: Run, **options: Any) -> Policy:
    return least_policy(base, runs or (run(),), **options).policy


def document(base: Policy, *runs: Run, **options: Any) -> str:
    return least_policy(base, runs or (run(),), **options).document


# The document


def test_the_document_loads_and_is_the_policy(tmp_path: Path) -> None:
    base = Policy.load("review").widen(
        "a test", network=OPEN, environment=Environment(inherit=("A",))
    )
    made = least_policy(base, [run(network("connect", "203.0.113.5"))])
    path = tmp_path / "least.toml"
    path.write_text(made.document, encoding="utf-8")

    assert Policy.load(path).fingerprint == made.policy.fingerprint


def test_the_first_line_says_who_it_is_for() -> None:
    first = document(Policy(), run(), subject="weather").splitlines()[0]

    assert first == "# For weather: the least that its 1 run needed, made by a security review."


def test_a_name_with_a_line_feed_does_not_leave_its_comment() -> None:
    made = document(Policy(), subject='x\n[network]\nkind = "full"')

    assert "network" not in tomllib.loads(made)


def test_only_what_differs_from_strict_is_written() -> None:
    made = tomllib.loads(document(Policy.load("review")))

    assert made.keys() == {"extends", "programs", "quota"}


def test_what_is_wider_than_strict_says_a_reason_and_what_is_not_says_none() -> None:
    wide = document(Policy(network=OPEN), run(network("connect", "203.0.113.5")))

    assert ("reason" in tomllib.loads(wide), "reason" in tomllib.loads(document(Policy()))) == (
        True,
        False,
    )


def test_events_that_were_not_kept_are_said() -> None:
    made = document(Policy(), run(record={"not_kept": 7}))

    assert "# 7 events were not kept one by one: it may be too small." in made


# Network


@pytest.mark.parametrize(
    "event",
    [
        network("connect", "127.0.0.1"),
        network("connect", "::1"),
        network("connect", "::ffff:127.0.0.1"),
        network("connect", "0.0.0.0"),  # noqa: S104 - Linux takes it for loopback
        network("bind", "203.0.113.5"),
        network("listen", "203.0.113.5"),
        network("send"),
        network("connect", "/tmp/socket", family="unix"),
        network("connect", "203.0.113.5", outcome="refused"),
    ],
    ids=lambda event: f"{event.action} {event.address} {event.outcome}",
)
def test_the_network_goes_where_nothing_went_beyond_loopback(event: Any) -> None:
    assert least(Policy(network=OPEN), run(event)).network == NoNetwork()


@pytest.mark.parametrize(
    "event",
    [
        network("connect", "203.0.113.5"),
        network("send", "2001:db8::1"),
        network("connect", "::ffff:203.0.113.5"),
        network("resolve", name="example.org"),
        network("connect", "no address at all"),
    ],
    ids=lambda event: f"{event.action} {event.address}",
)
def test_the_network_stays_where_something_went_out(event: Any) -> None:
    assert isinstance(least(Policy(network=OPEN), run(event)).network, FullNetwork)


def test_a_network_that_the_base_does_not_have_is_not_given() -> None:
    assert least(Policy(), run(network("connect", "203.0.113.5"))).network == NoNetwork()


def test_the_reason_of_the_network_names_its_first_event() -> None:
    runs = run(), run(network("connect", "203.0.113.5", count=2))
    made = least(Policy(network=OPEN), *runs).network

    assert getattr(made, "reason", "") == (
        "tried to connect to 203.0.113.5 port 443 2 times, first at 0.30 s of run 2"
    )


def test_of_listed_hosts_those_stay_that_were_asked_for() -> None:
    base = Policy(network=Hosts(allow=("*.example.org", "other.net")))
    made = least(base, run(network("resolve", name="api.example.org.")))

    assert made.network == Hosts(allow=("api.example.org",))


# Programs


def test_no_program_is_allowed_where_none_was_started() -> None:
    made = least(Policy(), run(started("/usr/bin/env", outcome="missing")))

    assert made.programs == NoPrograms()


def test_the_programs_that_were_started_are_listed() -> None:
    made = least(Policy(), run(started("/usr/bin/env")), run(started("/usr/bin/id")))

    assert made.programs == ListedPrograms(allow=("/usr/bin/env", "/usr/bin/id"))


def test_the_start_of_a_fresh_interpreter_is_no_program_of_the_tool() -> None:
    event = started("/usr/bin/python3", "python3", "-I", "-S", "/run/sandbox/runners", "guest")
    ours, another = (event.model_copy(update={"process": number}) for number in (1, 2))

    assert least(Policy(), run(ours)).programs == NoPrograms()
    assert least(Policy(), run(another)).programs != NoPrograms()


def test_a_script_brings_what_its_first_line_names(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#! /usr/bin/env -S python3\n", encoding="utf-8")
    base = granting(tmp_path)
    made = least(base, run(started("/data/tool")))

    assert made.programs == ListedPrograms(allow=("/data/tool", "/usr/bin/env"))


@pytest.mark.parametrize("path", ["/box/a.out", "/tmp/x", "/usr/bin/no-such-program", "relative"])
def test_a_program_that_cannot_be_listed_leaves_what_the_base_had(path: str) -> None:
    made = document(Policy(), run(started(path)))

    assert Policy.model_validate({}).programs == least(Policy(), run(started(path))).programs
    assert "# programs: cannot be listed: " in made


def test_a_link_out_of_a_granted_folder_is_not_followed_for_a_script(tmp_path: Path) -> None:
    (tmp_path / "granted").mkdir()
    (tmp_path / "secret").write_text("#!/usr/bin/env\n", encoding="utf-8")
    (tmp_path / "granted" / "tool").symlink_to(tmp_path / "secret")
    made = least(granting(tmp_path / "granted"), run(started("/data/tool")))

    assert made.programs == AnyProgram()


def test_of_listed_programs_those_stay_that_were_started() -> None:
    base = Policy(programs=ListedPrograms(allow=("/usr/bin/env", "/usr/bin/id")))

    assert least(base, run(started("/usr/bin/id"))).programs == ListedPrograms(
        allow=("/usr/bin/id",)
    )


def test_too_many_programs_are_not_listed() -> None:
    many = [started(f"/usr/bin/env{'/.' * number}") for number in range(66)]

    assert least(Policy(), run(*many)).programs == AnyProgram()


# Packages, host tools, environment, isolation


@pytest.mark.parametrize(
    ("path", "is_needed"),
    [
        ("/opt/packages/0/requests/api.py", True),
        ("/usr/lib/python3/dist-packages/yaml.py", True),
        ("/opt/packages.py", False),
        ("/usr/lib/python3.11/json/__init__.py", False),
        ("/box/site-packages/x.py", False),
    ],
)
def test_packages_stay_where_one_was_read(path: str, *, is_needed: bool) -> None:
    made = least(Policy(packages=INSTALLED), run(read(path)))

    assert (made.packages != NoPackages()) == is_needed


@pytest.mark.parametrize("access", ["look", "list"])
def test_packages_that_were_only_looked_at_go(access: Any) -> None:
    event = file(access, "/opt/packages/0")

    assert least(Policy(packages=INSTALLED), run(event)).packages == NoPackages()


def test_a_variable_that_was_read_stays_and_one_that_was_not_goes() -> None:
    base = Policy(environment=Environment(inherit=("A", "B"), values={"C": "1"}))

    assert least(base, run(*SEEN_TO_READ)).environment == Environment(inherit=("A",))


@pytest.mark.parametrize(
    "runs",
    [
        [run()],
        [run(*SEEN_TO_READ), run()],
        [run(*SEEN_TO_READ, started("/usr/bin/env"))],
        [run(*SEEN_TO_READ, variable("*"))],
    ],
    ids=["no Python", "no Python in one run", "a program that gets them too", "a copy"],
)
def test_a_variable_stays_where_nobody_told_of_it(runs: list[Run]) -> None:
    base = Policy(environment=Environment(values={"B": 'two\n"lines"'}))
    made = least_policy(base, runs)

    assert made.policy.environment == base.environment
    assert "# B: whether it was read cannot be told" in made.document


def test_a_canary_goes_even_if_it_was_read() -> None:
    base = Policy(environment=Environment(values={"A": "secret", "B": "1"}))
    made = least(base, run(variable("A"), variable("B")), canaries={"A"})

    assert made.environment == Environment(values={"B": "1"})


def test_host_tools_stay_for_they_cannot_be_told() -> None:
    tools = ListedHostTools(allow=("search",))

    assert least(Policy(host_tools=tools)).host_tools == tools


def test_isolation_stays() -> None:
    assert least(Policy(isolation="gvisor")).isolation == "gvisor"


def test_a_fresh_interpreter_stays_unless_programs_are_limited() -> None:
    base = Policy(fresh_interpreter=True)
    any_program = least(base, run(started("/box/a.out")))

    assert (any_program.fresh_interpreter, least(base).fresh_interpreter) == (True, False)


def test_what_a_least_policy_may_have_wider_is_not_told_as_wider() -> None:
    base = Policy(fresh_interpreter=True, network=OPEN)

    assert wider_than(least(base), base) == ()
    assert [each.key for each in wider_than(base, Policy())] == ["network"]


def granting(folder: Path, access: str = "read") -> Policy:
    grant = {"path": str(folder), "at": "/data", "access": access, "reason": "a test"}
    return Policy.model_validate({"files": [grant]})

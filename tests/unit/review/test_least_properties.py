"""What holds for the least policy of any runs under any base."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.policy import (
    AnyProgram,
    Environment,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedPrograms,
    NoNetwork,
    NoPackages,
    NoPrograms,
    Policy,
    is_narrower,
)
from sandbox.record import Record
from sandbox.review.grants import unused_grants
from sandbox.review.least import least_policy, wider_than
from sandbox.review.model import Run
from tests.unit.review.least_records import result, usage

pytestmark = pytest.mark.slow

many = settings(deadline=None, database=None, max_examples=100)

NAMES = st.sampled_from(
    ["a", "b", "c", "d", "..", "tmpab12cd34", "2026-01-02", "in out", "\n", "é"]
)


def path_of(root: str, names: list[str]) -> str:
    return "/".join([root, *names])


def run_of(events: list[Any], used: Any, status: Any, value: Any) -> Run:
    made = result(status=status, value=value, usage=used)
    return Run(input="", result=made, record=Record.model_validate({"events": events}))


PATHS = st.builds(
    path_of,
    st.sampled_from(["/data", "/data/a", "/srv", "/box", "/opt/packages/0", "/usr/bin", "", "x"]),
    st.lists(NAMES, max_size=4),
)
OUTCOMES = st.sampled_from(["allowed", "allowed", "refused", "missing", "failed"])
SHARED: dict[str, Any] = {
    "at": st.floats(0, 9),
    "process": st.integers(1, 2),
    "outcome": OUTCOMES,
    "count": st.integers(0, 3),
}
EVENTS: dict[str, dict[str, Any]] = {
    "file": {
        "access": st.sampled_from(
            ["look", "list", "read", "write", "create", "change", "rename", "link", "remove"]
        ),
        "path": PATHS,
        "named": PATHS | st.text(max_size=3),
        "to": PATHS,
    },
    "program": {
        "path": PATHS | st.sampled_from(["/usr/bin/env", "/bin/sh", "/usr/bin/\0"]),
        "argv": st.lists(st.text(max_size=3), max_size=2),
    },
    "network": {
        "action": st.sampled_from(["resolve", "connect", "send", "bind", "listen"]),
        "family": st.sampled_from(["inet", "inet6", "unix", "AF_17"]),
        "address": st.sampled_from(["", "127.0.0.1", "203.0.113.5", "::1", "/data/s", "@x"]),
        "name": st.sampled_from(["", "a.example.org", "b.net", "\N{RIGHT-TO-LEFT OVERRIDE}"]),
    },
    "environment": {"name": st.sampled_from(["A", "B", "C", "\n"])},
    "python": {"action": st.just("import"), "detail": st.text(max_size=3)},
}
ANY_EVENT = st.one_of(
    [
        st.fixed_dictionaries({"kind": st.just(kind), **SHARED, **keys})
        for kind, keys in EVENTS.items()
    ]
)
USAGES = st.builds(
    usage,
    wall_seconds=st.floats(0, 100),
    cpu_seconds=st.floats(0, 100),
    peak_memory_bytes=st.integers(0, 1 << 40),
    peak_processes=st.integers(0, 40_000),
    disk_bytes=st.integers(0, 1 << 40),
    stdout_bytes=st.integers(0, 1 << 31),
)
RUNS = st.lists(
    st.builds(
        run_of,
        st.lists(ANY_EVENT, max_size=8),
        USAGES,
        st.sampled_from(["ok", "timeout"]),
        st.none() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    ),
    min_size=1,
    max_size=3,
)
GRANTS = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["/data", "/data/a", "/srv", "/var"]),
        "at": st.sampled_from(["", "/data", "/data/a", "/data/a/b", "/srv"]),
        "access": st.sampled_from(["read", "write"]),
        "reason": st.just("a test"),
    }
)
NETWORKS = [NoNetwork(), FullNetwork(reason="a test"), Hosts(allow=("*.example.org", "b.net"))]
PROGRAMS = [AnyProgram(), NoPrograms(), ListedPrograms(allow=("/usr/bin/env", "/bin/sh"))]
BASES = st.fixed_dictionaries(
    {
        "files": st.lists(GRANTS, max_size=3, unique_by=lambda grant: grant["at"] or grant["path"]),
        "network": st.sampled_from(NETWORKS),
        "programs": st.sampled_from(PROGRAMS),
        "packages": st.sampled_from([NoPackages(), InstalledPackages(reason="a test")]),
        "environment": st.builds(
            Environment,
            inherit=st.lists(st.sampled_from(["A", "B"])).map(tuple),
            values=st.dictionaries(
                st.just("C"), st.text(st.characters(codec="utf-8"), max_size=4)
            ).filter(lambda values: "\0" not in "".join(values.values())),
        ),
        "fresh_interpreter": st.booleans(),
        "isolation": st.sampled_from(["process", "gvisor"]),
        "quota": st.sampled_from([Policy.load("review").quota, Policy.load("compute").quota]),
    }
).map(Policy.model_validate)


@many
@given(BASES, RUNS)
def test_the_document_always_loads_and_is_the_policy(base: Policy, runs: list[Run]) -> None:
    made = least_policy(base, runs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "least.toml")
        path.write_text(made.document, encoding="utf-8")
        loaded = Policy.load(path)

    assert loaded.fingerprint == made.policy.fingerprint


@many
@given(BASES, RUNS)
def test_it_is_never_wider_than_its_base(base: Policy, runs: list[Run]) -> None:
    made = least_policy(base, runs).policy
    others = made.model_copy(
        update={"files": base.files, "fresh_interpreter": base.fresh_interpreter}
    )

    assert wider_than(made, base) == ()
    assert is_narrower(others, base)


@many
@given(BASES, RUNS)
def test_no_covered_place_is_uncovered(base: Policy, runs: list[Run]) -> None:
    places = {grant.at: grant.path for grant in least_policy(base, runs).policy.files}
    for grant in base.files:
        over = [at for at in places if f"{grant.at}/".startswith(f"{at}/")]

        assert not over or grant.at == max(over, key=len)


@many
@given(BASES, RUNS)
def test_the_same_runs_give_the_same_text(base: Policy, runs: list[Run]) -> None:
    again = [Run.model_validate_json(run.model_dump_json()) for run in runs]

    assert least_policy(base, again).document == least_policy(base, runs).document


@many
@given(BASES, RUNS)
def test_of_the_least_policy_no_permission_is_unused(base: Policy, runs: list[Run]) -> None:
    made = least_policy(base, runs).policy
    doubtful = (
        "cannot be told",
        "Hint: ",
        "may be read, and no run",
        "may be started",
        "may be reached",
    )
    unused = [
        each for each in unused_grants(made, runs) if not any(word in each for word in doubtful)
    ]

    assert unused == []

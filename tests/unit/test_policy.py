"""The types of a policy: what can be written, what is refused, narrowing and widening."""

import ast
import inspect
import pickle
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.policy import (
    MIB,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    Policy,
    Quota,
    Terms,
)
from sandbox.policy_grants import Document

BOUNDS = [
    ("wall_seconds", 0.001, 86_400),
    ("grace_seconds", 0, 60),
    ("cpu_seconds", 0.001, 86_400 * 64),
    ("cpus", 1, 1024),
    ("memory_bytes", 16 * MIB, 1024**4),
    ("processes", 1, 32_768),
    ("open_files", 16, 65_536),
    ("file_bytes", 1, 1024**4),
    ("disk_bytes", 64 * 1024, 1024**4),
    ("disk_files", 16, 1_000_000),
    ("output_bytes", 1, 1024**3),
    ("result_bytes", 1, 64 * MIB),
    ("result_depth", 1, 200),
    ("returned_files", 0, 10_000),
    ("idle_seconds", 0.001, 86_400),
    ("life_seconds", 0.001, 86_400),
    ("returned_bytes", 0, 1024**3),
]
QUOTAS = [bound[0] for bound in BOUNDS]


def test_every_quota_has_its_bounds_tested() -> None:
    assert list(Quota.model_fields) == QUOTAS


@pytest.mark.parametrize(("key", "least", "most"), BOUNDS, ids=QUOTAS)
def test_a_quota_at_its_bounds_is_accepted(key: str, least: float, most: float) -> None:
    accepted = [dict(Quota.model_validate({key: amount}))[key] for amount in (least, most)]

    assert accepted == [least, most]


@pytest.mark.parametrize(
    ("key", "beyond"),
    [(key, least - 1) for key, least, _ in BOUNDS] + [(key, most + 1) for key, _, most in BOUNDS],
)
def test_a_quota_beyond_its_bounds_is_refused(key: str, beyond: float) -> None:
    with pytest.raises(ValidationError):
        Quota.model_validate({key: beyond})


@pytest.mark.parametrize("key", ["wall_seconds", "cpu_seconds"])
def test_no_time_at_all_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        Quota.model_validate({key: 0})


@pytest.mark.parametrize(
    "given",
    [None, "5", True, float("nan"), float("inf")],
    ids=["none", "text", "bool", "nan", "inf"],
)
@pytest.mark.parametrize("key", QUOTAS)
def test_a_quota_is_a_plain_number(key: str, given: object) -> None:
    with pytest.raises(ValidationError):
        Quota.model_validate({key: given})


@pytest.mark.parametrize(
    "keys",
    [
        {"qouta": {}},
        {"network": None},
        {"network": {"kind": "hosts"}},
        {"network": {"kind": "hosts", "allow": []}},
        {"network": {"kind": "hosts", "allow": "example.org"}},
        {"network": {"kind": "full"}},
        {"network": {"kind": "full", "reason": " "}},
        {"network": {"kind": "none", "allow": ["example.org"]}},
        {"network": {"kind": "some"}},
        {"files": [{"path": "/data"}]},
        {"files": [{"path": "/data", "reason": "r", "access": "all"}]},
        {"programs": {"kind": "listed", "allow": []}},
        {"programs": {"kind": "listed", "allow": ["ls"]}},
        {"packages": {"kind": "installed"}},
        {"host_tools": {"kind": "listed", "allow": []}},
        {"host_tools": {"kind": "listed", "allow": ["a b"]}},
        {"environment": {"inherit": ["A=B"]}},
        {"environment": {"inherit": [""]}},
        {"environment": {"values": {"1A": "x"}}},
        {"environment": {"values": {"A": "x\0y"}}},
        {"environment": {"values": {"A": "\ud800"}}},
        {"environment": {"values": {"A": 1}}},
        {"environment": {"inherit": ["A"], "values": {"A": "x"}}},
        {"fresh_interpreter": 1},
        {"quota": None},
        {"summary": "two\nlines"},
        {"name": "\x1b[2J"},
        {"reason": "safe\u202e"},
        {"summary": "two\u2028lines"},
        {"name": "\ud800"},
    ],
    ids=repr,
)
def test_what_contradicts_itself_cannot_be_written(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(keys)


@pytest.mark.parametrize(
    "name", ["example.org", "*.example.org", "a-b.example.org", "xn--bcher-kva.example", "_x.a.b"]
)
def test_a_host_name_is_accepted(name: str) -> None:
    assert Hosts(allow=(name,)).allow == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "*.",
        "*.com",
        "*.*.com",
        "a.*.com",
        "*example.org",
        "localhost",
        "127.0.0.1",
        "*.0.0.1",
        "[::1]",
        "::1",
        "example.org:443",
        "https://example.org",
        "example.org.",
        ".example.org",
        "a..org",
        "-a.org",
        "a-.org",
        "exa mple.org",
        "example.org\n",
        "bücher.example",
        "a" * 64 + ".org",
        ".".join(["a" * 50] * 6),
    ],
    ids=repr,
)
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Hosts(allow=(name,))


def test_a_wildcard_of_a_whole_top_level_domain_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="too wide"):
        Hosts(allow=("*.com",))


def test_host_names_are_the_same_in_any_case_order_and_number() -> None:
    hosts = Hosts(allow=("B.example.org", "a.example.org", "b.example.org"))

    assert hosts == Hosts(allow=("a.example.org", "b.example.org"))


def test_a_host_name_below_a_wildcard_beside_it_says_nothing_more() -> None:
    hosts = Hosts(allow=("*.example.org", "a.example.org", "*.b.example.org", "example.org"))

    assert hosts.allow == ("*.example.org", "example.org")


@pytest.mark.parametrize("path", ["/data", "/data/a b", "/srv/x..y", "/data/é", "/procession"])
def test_a_plain_absolute_path_can_be_granted(path: str) -> None:
    assert FileGrant(path=path, reason="input").at == path


@pytest.mark.parametrize(
    "path",
    [
        *["", ".", "data", "~/data", "/", "//", "//data", "/data/", "/data//x", "/data/./x", "/."],
        *["/data/../etc", "/..", "/data\0", "/data\n", "/data\x85"],
        *["/proc", "/proc/1/root", "/sys/fs", "/dev/mem", "/run/docker.sock", "/var/run/x"],
    ],
    ids=repr,
)
def test_what_must_stay_on_the_host_cannot_be_granted(path: str) -> None:
    with pytest.raises(ValidationError):
        FileGrant(path=path, at="/data", reason="input")


@pytest.mark.parametrize(
    "at",
    [
        *["/", "data", "/data/../etc", "/box", "/box/a", "/proc/1", "/sys"],
        *["/tmp", "/dev/shm/a"],  # places in the guest, nothing is made there
        *["/usr", "/usr/lib/python3", "/etc/passwd", "/bin", "/lib", "/lib64/x", "/sbin", "/run/a"],
    ],
    ids=repr,
)
def test_a_grant_cannot_cover_the_guests_own_system(at: str) -> None:
    with pytest.raises(ValidationError):
        FileGrant(path="/data", at=at, reason="input")


@pytest.mark.parametrize("at", ["/usrlocal", "/data/usr", "/boxes"])
def test_a_grant_can_stand_beside_the_guests_own_system(at: str) -> None:
    assert FileGrant(path="/usr/share/dict", at=at, reason="words").at == at


def test_two_grants_cannot_appear_at_the_same_place() -> None:
    one, other = (FileGrant(path=path, at="/data", reason="input") for path in ("/a", "/b"))

    with pytest.raises(ValidationError, match="same place"):
        Policy(files=(one, other))


def test_environment_values_cannot_be_changed() -> None:
    environment = Environment(values={"SEED": "1"})

    with pytest.raises(TypeError):
        environment.values["SEED"] = "2"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def test_changing_the_dictionary_afterwards_does_not_change_the_policy() -> None:
    values = {"SEED": "1"}
    environment = Environment(values=values)

    values["SEED"] = "2"

    assert environment.values["SEED"] == "1"


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Policy().fresh_interpreter = True  # pyright: ignore[reportAttributeAccessIssue]


def test_a_policy_survives_pickling() -> None:
    policy = Policy(environment=Environment(values={"SEED": "1"}), quota=Quota(cpus=2))

    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301  # pickled one line above


@pytest.mark.parametrize(
    "owner", [Policy, Terms, Quota, Hosts, FullNetwork, FileGrant, Environment]
)
def test_every_key_says_what_it_means(owner: type[Document]) -> None:
    """The texts below the keys are the reference."""
    (tree,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(tree, ast.ClassDef)

    silent = [
        ast.unparse(key.target)
        for key, below in pairwise(tree.body)
        if isinstance(key, ast.AnnAssign) and not _is_text(below)
    ]

    assert silent in ([], ["kind"])


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def test_asking_for_the_fingerprint_changes_nothing_else() -> None:
    asked, other = Policy.load("strict"), Policy.load("strict")

    narrowed = asked.narrow(wall_seconds=1.0) if asked.fingerprint else asked

    assert (asked == other, narrowed.fingerprint != asked.fingerprint) == (True, True)

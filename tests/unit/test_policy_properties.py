"""What holds for every policy: narrowing is an order, and a fingerprint is what is enforced."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import BadPolicy
from sandbox.policy import (
    AnyProgram,
    Environment,
    FileGrant,
    FullNetwork,
    Hosts,
    InstalledPackages,
    ListedHostTools,
    ListedPrograms,
    NoHostTools,
    NoNetwork,
    NoPackages,
    NoPrograms,
    Policy,
    Quota,
    diff,
    is_narrower,
)

pytestmark = pytest.mark.slow


def some(*names: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), min_size=1, max_size=3).map(tuple)


# few names each, so that two policies often share some
REASONS = st.sampled_from(["because", "it must"])
NETWORKS = st.one_of(
    st.just(NoNetwork()),
    some("a.org", "b.a.org", "*.a.org", "*.b.a.org", "c.org").map(lambda names: Hosts(allow=names)),
    REASONS.map(lambda reason: FullNetwork(reason=reason)),
)
GRANTS = st.builds(
    FileGrant,
    path=st.sampled_from(["/a", "/a/b", "/c"]),
    at=st.sampled_from(["", "/a", "/a/b", "/c"]),
    access=st.sampled_from(["read", "write"]),
    reason=REASONS,
)
ENVIRONMENTS = st.builds(
    Environment,
    inherit=st.lists(st.sampled_from(["A", "B"])).map(tuple),
    values=st.dictionaries(st.sampled_from(["C", "D"]), st.sampled_from(["1", "2"])),
)
PROGRAMS = st.one_of(
    st.sampled_from([AnyProgram(), NoPrograms()]),
    some("/bin/a", "/bin/b").map(lambda paths: ListedPrograms(allow=paths)),
)
PACKAGES = st.one_of(
    st.just(NoPackages()), REASONS.map(lambda reason: InstalledPackages(reason=reason))
)
HOST_TOOLS = st.one_of(
    st.just(NoHostTools()), some("a", "b").map(lambda names: ListedHostTools(allow=names))
)
QUOTAS = st.builds(
    Quota,
    wall_seconds=st.floats(0, 86_400, exclude_min=True),
    grace_seconds=st.sampled_from([0.0, -0.0, 0.5]),
    cpus=st.integers(1, 2),
    memory_bytes=st.sampled_from([2**24, 2**24 + 1, 2**40]),
)
TERMS: dict[str, st.SearchStrategy[Any]] = {
    "network": NETWORKS,
    "files": st.lists(GRANTS, max_size=3, unique_by=lambda grant: grant.at).map(tuple),
    "environment": ENVIRONMENTS,
    "programs": PROGRAMS,
    "packages": PACKAGES,
    "host_tools": HOST_TOOLS,
    "fresh_interpreter": st.booleans(),
    "quota": QUOTAS,
}
POLICIES = st.fixed_dictionaries(TERMS).map(Policy.model_validate)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "allow", "path", "at", "a\nb"]), inner)
        | st.fixed_dictionaries({"kind": st.sampled_from(["hosts", "listed", "full"])})
    ),
    max_leaves=6,
)

each_key = pytest.mark.parametrize("key", TERMS)
many = settings(deadline=None, database=None)


def drawn(data: st.DataObject, key: str) -> Policy:
    """Draw a policy with one key: two of them are often one within the other."""
    return Policy.model_validate({key: data.draw(TERMS[key])})


def powers(policy: Policy) -> set[tuple[str, ...]]:
    """List what the policy lets a guest do, worked out without the code under test."""
    hosts = ("a.org", "x.a.org", "b.a.org", "x.b.a.org", "y.x.b.a.org", "c.org", "x.c.org")
    return {
        *(("connect", host) for host in hosts if may_connect(policy, host)),
        *(power for place in ("/a", "/a/x", "/a/b", "/a/b/x", "/c") for power in at(policy, place)),
        *(("variable", name, "of the host") for name in policy.environment.inherit),
        *(("variable", *pair) for pair in policy.environment.values.items()),
        *(("start", path) for path in ("/bin/a", "/bin/b", "/bin/c") if may_start(policy, path)),
        *([("import",)] if policy.packages != NoPackages() else []),
        *(("ask", name) for name in getattr(policy.host_tools, "allow", ())),
        *([] if policy.fresh_interpreter else [("share the address-space layout",)]),
        *((key, str(step)) for key, amount in policy.quota for step in AMOUNTS if step <= amount),
    }


AMOUNTS = (0.0, 0.5, 1.0, 2.0, 4.0, 64.0, 2.0**24, 2.0**24 + 1, 2.0**40)


def may_connect(policy: Policy, host: str) -> bool:
    if not isinstance(policy.network, Hosts):
        return isinstance(policy.network, FullNetwork)
    patterns = [name.replace(".", r"\.").replace("*", ".+") for name in policy.network.allow]
    return any(re.fullmatch(pattern, host) for pattern in patterns)


def may_start(policy: Policy, path: str) -> bool:
    if isinstance(policy.programs, ListedPrograms):
        return path in policy.programs.allow
    return policy.programs == AnyProgram()


def at(policy: Policy, place: str) -> set[tuple[str, ...]]:
    """Mount the grants one over the other, as the kernel does, and look at a place."""
    seen: set[tuple[str, ...]] = set()
    for grant in sorted(policy.files, key=lambda grant: grant.at):
        if f"{place}/".startswith(f"{grant.at}/"):
            host_path = grant.path + place.removeprefix(grant.at)
            seen = {(access, place, host_path) for access in ("read", grant.access)}
    return seen


@each_key
@many
@given(data=st.data())
def test_what_is_narrower_can_do_nothing_that_its_base_cannot(
    data: st.DataObject, key: str
) -> None:
    new, base = drawn(data, key), drawn(data, key)

    assert not is_narrower(new, base) or powers(new) <= powers(base)


@many
@given(base=POLICIES, data=st.data(), key=st.sampled_from(list(TERMS)))
def test_narrowing_gives_nothing_wider_in_any_key(
    base: Policy, data: st.DataObject, key: str
) -> None:
    try:
        narrowed = base.narrow(**{key: data.draw(TERMS[key])})
    except BadPolicy:
        narrowed = base

    assert powers(narrowed) <= powers(base)


@many
@given(base=POLICIES)
def test_every_policy_can_be_narrowed_to_no_permission_at_all(base: Policy) -> None:
    least = Policy(programs=NoPrograms(), fresh_interpreter=True, quota=base.quota)

    assert base.narrow(least) == least


@each_key
@many
@given(data=st.data())
def test_every_policy_is_within_itself(data: st.DataObject, key: str) -> None:
    policy = drawn(data, key)

    assert is_narrower(policy, policy)


@each_key
@many
@given(data=st.data())
def test_within_what_is_within_is_within(data: st.DataObject, key: str) -> None:
    one, two, three = (drawn(data, key) for _ in range(3))

    chained = is_narrower(one, two) and is_narrower(two, three)
    assert not chained or is_narrower(one, three)


@each_key
@many
@given(data=st.data())
def test_two_policies_within_each_other_have_one_fingerprint(data: st.DataObject, key: str) -> None:
    one, two = drawn(data, key), drawn(data, key)

    same = is_narrower(one, two) and is_narrower(two, one)
    assert same == (one.fingerprint == two.fingerprint)


@each_key
@many
@given(data=st.data())
def test_policies_of_one_fingerprint_can_do_the_same(data: st.DataObject, key: str) -> None:
    one, two = drawn(data, key), drawn(data, key)

    assert one.fingerprint != two.fingerprint or powers(one) == powers(two)


@each_key
@many
@given(data=st.data())
def test_two_policies_differ_exactly_when_their_fingerprints_do(
    data: st.DataObject, key: str
) -> None:
    one, two = drawn(data, key), drawn(data, key)

    assert bool(diff(one, two)) == (one.fingerprint != two.fingerprint)


@many
@given(one=POLICIES, two=POLICIES)
def test_a_difference_looks_the_other_way_from_the_other_side(one: Policy, two: Policy) -> None:
    turned = {"wider": "narrower", "narrower": "wider", "different": "different"}

    there, back = diff(one, two), diff(two, one)

    assert [turned[change.direction] for change in there] == [change.direction for change in back]


@each_key
@many
@given(data=st.data())
def test_what_differs_is_explained_differently(data: st.DataObject, key: str) -> None:
    one, two = drawn(data, key), drawn(data, key)

    assert one.fingerprint == two.fingerprint or one.explain() != two.explain()


@many
@given(policy=POLICIES)
def test_a_policy_comes_back_from_json_as_it_was(policy: Policy) -> None:
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


@many
@given(policy=POLICIES)
def test_a_policy_comes_back_from_plain_values_as_it_was(policy: Policy) -> None:
    # what a TOML reader gives: lists, dictionaries, numbers, texts
    plain = json.loads(policy.model_dump_json())

    assert Policy.model_validate(plain) == policy


@many
@given(policy=POLICIES)
def test_what_a_policy_says_of_itself_changes_no_fingerprint(policy: Policy) -> None:
    renamed = policy.widen("because", name="mine", summary="for me")

    assert renamed.fingerprint == policy.fingerprint


@settings(many, max_examples=1000)
@given(key=st.sampled_from([*Policy.model_fields, *Quota.model_fields]), junk=JUNK)
def test_junk_is_a_policy_or_a_fault_on_one_line(key: str, junk: object) -> None:
    try:
        said = str(Policy().widen("junk", **{key: junk}).name)
    except BadPolicy as error:
        said = str(error)

    assert said.splitlines() in ([], [said])

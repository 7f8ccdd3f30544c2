"""The smallest grants: deep enough to show little, and never through a link."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.policy import FileGrant, Policy
from sandbox.record import Event
from sandbox.review.least_files import least_files, outside_of
from tests.unit.review.least_records import file, network, read, run

READ, WRITE = "read", "write"


def granted(*grants: tuple[str, str]) -> Policy:
    """Give a policy with grants of folders of the same place, by access."""
    files = [{"path": path, "access": access, "reason": "a test"} for path, access in grants]
    return Policy.model_validate({"files": files})


def kept(base: Policy, *events: Event) -> dict[str, str]:
    return {grant.at: grant.access for grant in least_files(base, [run(*events)])}


def test_a_grant_that_was_not_used_goes() -> None:
    assert kept(granted(("/data", READ)), read("/other/x"), read("/datum")) == {}


@pytest.mark.parametrize("outcome", ["refused", "missing"])
def test_what_did_not_work_is_no_use(outcome: Any) -> None:
    assert kept(granted(("/data", READ)), read("/data/x", outcome=outcome)) == {}


def test_what_failed_for_another_reason_still_needs_to_be_seen() -> None:
    event = file("create", "/data/in", outcome="failed")

    assert kept(granted(("/data", WRITE)), event) == {"/data/in": READ}


def test_a_grant_is_narrowed_to_the_file_that_was_read() -> None:
    assert kept(granted(("/data", READ)), read("/data/in/x.csv")) == {"/data/in/x.csv": READ}


def test_a_few_files_are_granted_one_by_one_and_more_by_their_folder() -> None:
    few = [read(f"/data/in/{name}.csv") for name in "abc"]

    assert len(kept(granted(("/data", READ)), *few)) == 3
    assert kept(granted(("/data", READ)), *few, read("/data/in/d.csv")) == {"/data/in": READ}


@pytest.mark.parametrize(
    "name",
    [
        "report-2026-01-02.csv",
        "tmpab12cd34",
        "tmp.Ab12Cd34Ef",
        "123456.log",
        "9f86d081884c7d65.json",
        "4a1c1e6e-58a4-4a4e-9b0e-2b3f1f6f2b3c",
        "a\\x0ab",
    ],
)
def test_a_name_that_looks_made_up_is_not_named(name: str) -> None:
    assert kept(granted(("/data", READ)), read(f"/data/in/{name}")) == {"/data/in": READ}


@pytest.mark.parametrize("name", ["x86_64.csv", "utf8.txt", "data_12.csv", "deadbeef", "v1.2.3"])
def test_a_name_that_does_not_look_made_up_is_named(name: str) -> None:
    assert kept(granted(("/data", READ)), read(f"/data/{name}")) == {f"/data/{name}": READ}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (file("list", "/data/in"), {"/data/in": READ}),
        (file("look", "/data/in/x"), {"/data/in/x": READ}),
        (file("write", "/data/in/x"), {"/data/in/x": WRITE}),
        (file("change", "/data/in/x"), {"/data/in/x": WRITE}),
        (file("create", "/data/in/x"), {"/data/in": WRITE}),
        (file("remove", "/data/in/x"), {"/data/in": WRITE}),
        (file("rename", "/data/in/x", to="/data/out/x"), {"/data": WRITE}),
        (file("rename", "/data/in/x", to="/data/in/y"), {"/data/in": WRITE}),
        (file("link", "/data/in/x", to="../y"), {"/data/in": WRITE}),
        (network("bind", "/data/in/s", family="unix"), {"/data/in": WRITE}),
        (network("connect", "/data/in/s", family="unix"), {"/data/in/s": READ}),
    ],
    ids=lambda value: getattr(value, "access", getattr(value, "action", "")),
)
def test_each_access_needs_its_place(event: Event, expected: dict[str, str]) -> None:
    assert kept(granted(("/data", WRITE)), event) == expected


def test_writing_stays_where_it_was_written_and_reading_beside_it() -> None:
    events = read("/data/in/x.csv"), file("create", "/data/out/y.csv")

    assert kept(granted(("/data", WRITE)), *events) == {"/data/in/x.csv": READ, "/data/out": WRITE}


def test_what_is_read_where_it_is_written_has_one_grant() -> None:
    events = read("/data/out/x.csv"), file("create", "/data/out/y.csv")

    assert kept(granted(("/data", WRITE)), *events) == {"/data/out": WRITE}


def test_a_record_that_says_it_wrote_where_it_may_not_gets_no_more() -> None:
    assert kept(granted(("/data", READ)), file("write", "/data/x")) == {"/data/x": READ}


def test_a_rename_between_two_grants_needs_both() -> None:
    event = file("rename", "/srv/a/x/1", to="/srv/b/y/1")

    assert kept(granted(("/srv/a", WRITE), ("/srv/b", WRITE)), event) == {
        "/srv/a/x": WRITE,
        "/srv/b/y": WRITE,
    }


def test_a_folder_that_was_looked_at_on_the_way_is_not_granted() -> None:
    events = [file("look", path) for path in ("/data", "/data/in", "/data/in/x.csv")]

    assert kept(granted(("/data", READ)), *events, read("/data/in/x.csv")) == {
        "/data/in/x.csv": READ
    }


def test_the_name_by_which_a_file_was_reached_is_granted_too() -> None:
    event = read("/data/v3/x.csv", named="/links/current")

    assert kept(granted(("/data", READ), ("/links", READ)), event) == {
        "/data/v3/x.csv": READ,
        "/links/current": READ,
    }


def test_a_path_that_is_none_needs_the_whole_grant() -> None:
    assert kept(granted(("/data", READ)), read("/data/in/../../etc/x")) == {"/data": READ}


def test_a_grant_elsewhere_is_narrowed_on_both_sides() -> None:
    grant = FileGrant(path="/srv/files", at="/data", reason="a test")
    made = least_files(Policy(files=(grant,)), [run(read("/data/in/x"))])

    assert [(each.path, each.at) for each in made] == [("/srv/files/in/x", "/data/in/x")]


def test_a_link_on_the_host_is_not_narrowed_past(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    base = Policy(files=(FileGrant(path=str(tmp_path), at="/data", reason="a test"),))
    through, beside = read("/data/link/x"), read("/data/real/y")

    assert kept(base, through, beside) == {"/data": READ}
    assert kept(base, beside) == {"/data/real/y": READ}


def test_what_may_never_be_granted_stays_inside_its_folder() -> None:
    grant = FileGrant(path="/var", at="/data", reason="a test")
    made = least_files(Policy(files=(grant,)), [run(read("/data/run/x"))])

    assert [each.path for each in made] == ["/var"]


def test_a_grant_that_covers_a_part_of_a_kept_one_stays() -> None:
    base = granted(("/data", READ), ("/data/in/secret", READ), ("/data/other", READ))
    listed = file("list", "/data/in")

    assert kept(base, listed) == {"/data/in": READ, "/data/in/secret": READ}


def test_a_covering_grant_stays_whole_though_a_part_would_do() -> None:
    base = granted(("/data", READ), ("/data/in", WRITE))

    assert kept(base, file("list", "/data"), file("write", "/data/in/x/y")) == {
        "/data": READ,
        "/data/in": WRITE,
    }


def test_the_reason_names_the_event() -> None:
    twice = read("/data/x", at=0.5, count=2), read("/data/x", at=0.125)
    runs = [run(), run(*twice)]
    made = least_files(granted(("/data", READ)), runs)

    assert made[0].reason == "read /data/x 3 times, first at 0.12 s of run 2"


def test_what_touched_two_places_is_said_once() -> None:
    made = least_files(granted(("/data", WRITE)), [run(file("create", "/data/in/x"))])

    assert made[0].reason == "made /data/in/x once, at 0.10 s of run 1"


def test_the_reason_is_what_asks_for_the_most() -> None:
    events = file("look", "/data/x", at=0.0), read("/data/x", at=0.5, count=3)
    made = least_files(granted(("/data", READ)), [run(*events)])

    assert made[0].reason == "read /data/x 3 times, first at 0.50 s of run 1"


def test_the_reason_says_that_there_was_more() -> None:
    made = least_files(granted(("/data", READ)), [run(file("list", "/data"), read("/data/x"))])

    assert made[0].reason == "listed /data once, at 0.10 s of run 1; and 1 more"


@pytest.mark.parametrize(
    ("path", "at", "access", "is_inside"),
    [
        ("/srv/in", "/data/in", READ, True),
        ("/srv", "/data", WRITE, False),
        ("/srv/other", "/data/in", READ, False),
        ("/srv/in", "/elsewhere/in", READ, False),
    ],
)
def test_a_grant_is_inside_only_at_the_same_way_below(
    path: str, at: str, access: Any, *, is_inside: bool
) -> None:
    base = Policy(files=(FileGrant(path="/srv", at="/data", reason="a test"),))
    grant = FileGrant(path=path, at=at, access=access, reason="a test")

    assert (outside_of([grant], base) == ()) == is_inside

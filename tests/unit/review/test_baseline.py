"""A baseline: the same tool again is no drift, and every single change is."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.record import Event, PythonEvent, SignalEvent, SystemCallEvent
from sandbox.review.baseline import Baseline, baseline_of, compare
from sandbox.review.behaviour import behaviour_of
from sandbox.review.model import Dependency, LeftFile, Review, Run
from tests.unit.review.least_records import (
    file,
    finding,
    network,
    read,
    review,
    run,
    started,
    variable,
)

SUBJECT = review().subject
REQUESTS = SUBJECT.dependencies[0]
USUAL = run(
    read("/usr/lib/python3.11/os.py"),
    file("create", "/tmp/tmpab12cd34"),
    file("remove", "/tmp/tmpab12cd34"),
    read("/home/.netrc", outcome="missing"),
    started("/usr/bin/id"),
    network("connect", "203.0.113.5", outcome="refused"),
    variable("HOME"),
    SystemCallEvent(at=0, process=1, name="ptrace", error="EPERM", why="it looks into others"),
    SignalEvent(at=0, process=1, signal="SIGTERM", target="process 3"),
    left=(LeftFile(path="out/2026-01-02.txt", change="created", size_bytes=1),),
)
LATER = run(
    read("/usr/lib/python3.11/__pycache__/os.cpython-311.pyc", at=7.0, count=4, process=3),
    file("create", "/tmp/tmpzz99yy88"),
    file("remove", "/tmp/tmpzz99yy88"),
    read("/home/.netrc", outcome="missing"),
    started("/usr/bin/id", "id", "-u"),
    network("connect", "203.0.113.5", outcome="refused"),
    variable("HOME"),
    SystemCallEvent(at=9, process=4, name="ptrace", error="EPERM", why="it looks into others"),
    SignalEvent(at=9, process=4, signal="SIGTERM", target="process 5"),
    left=(LeftFile(path="out/2026-11-30.txt", change="created", size_bytes=2),),
)


def changed(subject: dict[str, Any]) -> Review:
    return review(USUAL, subject=SUBJECT.model_copy(update=subject))


def more(*events: Any, **changes: Any) -> Review:
    again = run(*USUAL.record.events, *events, left=USUAL.left, **changes)
    return review(again)


NEW_REQUESTS = Dependency(name="requests 2.33.0", hash="dd" * 32)
TAMPERED = Dependency(name="requests 2.32.3", hash="dd" * 32)
OTHER = Dependency(name="evil 1.0", hash="dd" * 32)
SPLIT = LeftFile(path="new", change="created", size_bytes=1)
CHANGES: dict[str, tuple[Review, str, str]] = {
    "code": (
        changed({"hash": "cc" * 32}),
        "code",
        "Its own code has changed: SHA-256 aaaaaaaaaaaa is now cccccccccccc.",
    ),
    "another subject": (
        changed({"name": "tools:news"}),
        "code",
        "It is another subject: function tools:weather was reviewed, not function tools:news.",
    ),
    "version": (
        changed({"dependencies": (NEW_REQUESTS,)}),
        "dependency",
        "It uses another requests: requests 2.32.3 is now requests 2.33.0.",
    ),
    "tampered": (
        changed({"dependencies": (TAMPERED,)}),
        "dependency",
        "The code of requests 2.32.3 has changed, and its name and version have not.",
    ),
    "new dependency": (
        changed({"dependencies": (OTHER, REQUESTS)}),
        "dependency",
        "It uses evil, which it did not.",
    ),
    "no dependency": (changed({"dependencies": ()}), "dependency", "It uses requests no more."),
    "policy": (
        review(USUAL, policy_fingerprint="f" * 16),
        "policy",
        "It was reviewed under another policy: 0123456789ab is now ffffffffffff.",
    ),
    "new file": (
        more(read("/data/secret")),
        "behaviour",
        "It reads what it did not before: /data/secret.",
    ),
    "another access": (
        more(file("write", "/usr/lib/python3.11/os.py")),
        "behaviour",
        "It writes what it did not before: /usr/lib/python3.11/os.py.",
    ),
    "looked for": (
        more(read("/home/.aws/credentials", outcome="missing")),
        "behaviour",
        "It looks for what it did not before: /home/.aws/credentials.",
    ),
    "new program": (
        more(started("/usr/bin/curl")),
        "behaviour",
        "It starts what it did not before: /usr/bin/curl.",
    ),
    "new address": (
        more(network("connect", "203.0.113.6")),
        "behaviour",
        "It tries on the network what it did not before: connect 203.0.113.6 port 443.",
    ),
    "new port": (
        more(network("connect", "203.0.113.5", port=22, outcome="refused")),
        "behaviour",
        "It tries in vain what it did not before: connect 203.0.113.5 port 22.",
    ),
    "new name": (
        more(network("resolve", name="Evil.example.")),
        "behaviour",
        "It tries on the network what it did not before: resolve evil.example.",
    ),
    "refused call": (
        more(SystemCallEvent(at=0, process=1, name="bpf", error="EPERM", why="no")),
        "behaviour",
        "It tries in vain what it did not before: system call bpf.",
    ),
    "signal": (
        more(SignalEvent(at=0, process=1, signal="SIGKILL", target="everybody")),
        "behaviour",
        "It sends what it did not before: SIGKILL to everybody.",
    ),
    "variable": (
        more(variable("TOKEN")),
        "behaviour",
        "It reads of its environment what it did not before: TOKEN.",
    ),
    "unpickled": (
        more(PythonEvent(at=0, process=1, action="unpickle", detail="os.system")),
        "behaviour",
        "It does in Python what it did not before: unpickle os.system.",
    ),
    "status": (
        review(USUAL, run(status="timeout")),
        "behaviour",
        "It ends with what it did not before: timeout.",
    ),
    "left": (
        review(USUAL, run(left=(SPLIT,))),
        "behaviour",
        "It leaves what it did not before: new created.",
    ),
    "new finding": (
        review(USUAL, findings=(finding("opens-network", "high"),)),
        "finding",
        "There is a new finding: opens-network (high).",
    ),
}


@pytest.mark.parametrize(("after", "kind", "sentence"), CHANGES.values(), ids=CHANGES.keys())
def test_every_single_change_is_found(after: Review, kind: str, sentence: str) -> None:
    (drift,) = compare(baseline_of(review(USUAL)), after)

    assert (drift.kind, drift.sentence) == (kind, sentence)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_back_is_found_too(name: str) -> None:
    after, kind, _ = CHANGES[name]
    (drift,) = compare(baseline_of(after), review(USUAL))

    assert drift.kind == kind


@pytest.mark.parametrize(
    "after",
    [
        review(USUAL),
        review(LATER),
        review(LATER, USUAL, USUAL),
        review(USUAL, policy_name="another", reviewed_at="later", least_policy="x"),
    ],
    ids=["the same", "later", "more often", "other words"],
)
def test_a_well_behaved_tool_has_no_drift(after: Review) -> None:
    assert compare(baseline_of(review(USUAL)), after) == ()


def test_what_is_not_done_any_more_is_told_as_gone() -> None:
    (drift,) = compare(baseline_of(more(started("/usr/bin/curl"))), review(USUAL))

    assert (drift.was, drift.now) == (("/usr/bin/curl",), ())
    assert drift.sentence == "It started what it does not any more: /usr/bin/curl."


def test_a_finding_that_is_worse_or_milder_is_told() -> None:
    both = [
        review(USUAL, findings=(finding("x", "low"), finding("x", each)))
        for each in ("info", "high")
    ]
    there, back = compare(baseline_of(both[0]), both[1]), compare(baseline_of(both[1]), both[0])

    assert [each.sentence for each in (*there, *back)] == [
        "The finding x was low and is high.",
        "The finding x was high and is low.",
    ]


def test_a_temporary_file_is_one_by_its_life_and_not_its_name() -> None:
    one, other = (
        run(file("create", f"/tmp/{name}.txt"), file("remove", f"/tmp/{name}.txt"))
        for name in ("abcdefgh", "ijklmnop")
    )

    assert behaviour_of([one]) == behaviour_of([other])


def test_a_temporary_file_keeps_only_a_plain_ending() -> None:
    made = run(
        *(
            file(access, f"/dev/shm/{name}")
            for name in ("sem.Ab12Cd", "sem.mp-abcdefgh", "x.json")
            for access in ("link", "remove")
        )
    )

    assert dict(behaviour_of([made]).files)["link"] == ("/dev/shm/*", "/dev/shm/*.json")


def test_what_is_sent_on_a_connected_socket_names_no_address() -> None:
    assert behaviour_of([run(network("send", family=""))]).network == (
        "send on a connected socket",
    )


def test_a_file_that_stays_has_its_name() -> None:
    one, other = (run(file("create", f"/tmp/{name}.txt")) for name in ("abcdefgh", "ijklmnop"))

    assert behaviour_of([one]) != behaviour_of([other])


def test_a_port_that_the_kernel_chose_is_any_port_on_loopback_only() -> None:
    def told(address: str, port: int) -> tuple[str, ...]:
        return behaviour_of([run(network("connect", address, port=port))]).network

    assert told("127.0.0.1", 40_001) == told("127.0.0.1", 40_002)
    assert told("127.0.0.1", 22) != told("127.0.0.1", 23)
    assert told("203.0.113.5", 40_001) != told("203.0.113.5", 40_002)


def test_many_changes_of_one_kind_are_one_drift() -> None:
    after = more(*(read(f"/data/{name}") for name in "abcdefg"))
    (drift,) = compare(baseline_of(review(USUAL)), after)

    assert drift.sentence.endswith("/data/a, /data/b, /data/c, /data/d, /data/e and 2 more.")
    assert len(drift.now) == 7


def test_a_baseline_is_json_and_back(tmp_path: Path) -> None:
    made = baseline_of(review(USUAL, findings=(finding("x"),)))
    path = tmp_path / "x.baseline.json"
    path.write_text(made.to_json(), encoding="utf-8")

    assert Baseline.load(path) == made


def test_a_review_is_compared_with_its_baseline_after_json_too() -> None:
    again = Review.from_json(review(USUAL).to_json())

    assert compare(Baseline.from_json(baseline_of(again).to_json()), again) == ()


NEW: tuple[Event, ...] = (
    read("/data/secret"),
    read("/data/secret", outcome="refused"),
    file("remove", "/data/x"),
    started("/usr/bin/curl"),
    network("connect", "203.0.113.6"),
    network("resolve", name="evil.example"),
    variable("TOKEN"),
)
EVENTS = st.lists(st.sampled_from(USUAL.record.events + LATER.record.events), max_size=9)
RUNS = st.lists(EVENTS.map(lambda events: run(*events)), min_size=1, max_size=3)


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(RUNS, st.data())
def test_order_and_repetition_of_runs_are_no_drift(runs: list[Run], data: st.DataObject) -> None:
    again = data.draw(st.permutations([*runs, runs[0]]))

    assert compare(baseline_of(review(*runs)), review(*again)) == ()


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(RUNS, st.sampled_from(NEW))
def test_one_new_event_among_any_runs_is_one_drift(runs: list[Run], new: Event) -> None:
    (drift,) = compare(baseline_of(review(*runs)), review(*runs, run(new)))

    assert (drift.kind, len(drift.now), drift.was) == ("behaviour", 1, ())

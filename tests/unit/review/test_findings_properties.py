"""What holds for every record: an answer, always the same, in order, bounded, no secrets in it."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import record
from sandbox.record import Event, FileAccess, NetworkAction, Outcome, PythonAction, SeenProcess
from sandbox.result import Status, Usage
from sandbox.review.canaries import Canaries
from sandbox.review.findings import MOST_PROOFS, find
from sandbox.review.model import SEVERITIES, Change, LeftFile, Run
from tests.unit.review.records import RULES, run

pytestmark = pytest.mark.slow

CANARIES = Canaries.new()
SECRETS = [*CANARIES.environment.values(), *map(bytes.decode, CANARIES.files.values())]
TELLING = (
    *("/etc/shadow", "/box/.env", "/proc/1/environ", "/", "", "curl", "sh", "-c", "python3"),
    *("base64 -d | sh", "169.254.169.254", "::1", "127.0.0.1", "metadata.google.internal", "unix"),
    *("inet", "process 1", "process x", "pid 1", "everybody", "bpf", "EPERM", "marshal.loads"),
    *("GITHUB_TOKEN", "<string>", "tool.py:7", "\ud800", "\x1b[2J"),
)
TEXTS = st.deferred(
    lambda: st.sampled_from(TELLING) | st.sampled_from(SECRETS) | st.text(max_size=40)
)
TIMES = st.floats(-1, 1e9)
NUMBERS = st.integers(-2, 6)


def event(kind: type[Event], **own: st.SearchStrategy[object]) -> st.SearchStrategy[Event]:
    outcomes = st.sampled_from(get_args(Outcome))
    return st.builds(kind, at=TIMES, process=NUMBERS, outcome=outcomes, count=NUMBERS, **own)


def one_of(names: object) -> st.SearchStrategy[str]:
    return st.sampled_from(get_args(names))


EVENTS: st.SearchStrategy[Event] = st.one_of(
    event(record.FileEvent, access=one_of(FileAccess), path=TEXTS, named=TEXTS, to=TEXTS),
    event(record.ProgramEvent, path=TEXTS, argv=st.lists(TEXTS, max_size=4).map(tuple)),
    event(
        record.NetworkEvent,
        action=one_of(NetworkAction),
        family=TEXTS,
        address=TEXTS,
        port=st.integers(-1, 70_000),
        name=TEXTS,
        sent=TEXTS,
    ),
    event(record.SignalEvent, signal=TEXTS, target=TEXTS),
    event(record.SystemCallEvent, name=TEXTS, error=TEXTS, why=TEXTS),
    event(record.EnvironmentEvent, name=TEXTS),
    event(record.PythonEvent, action=one_of(PythonAction), detail=TEXTS, where=TEXTS),
)
PROCESSES = st.builds(
    SeenProcess,
    number=NUMBERS,
    parent=st.none() | NUMBERS,
    pid=NUMBERS,
    started_at=TIMES,
    ended_at=st.none() | TIMES,
    name=TEXTS,
)
LEFT = st.builds(LeftFile, path=TEXTS, change=one_of(Change), size_bytes=NUMBERS)


@st.composite
def any_run(draw: st.DrawFn) -> Run:
    return run(
        *draw(st.lists(EVENTS, max_size=30)),
        processes=draw(st.lists(PROCESSES, max_size=6)),
        left=draw(st.lists(LEFT, max_size=12)),
        status=draw(one_of(Status)),
        stdout=draw(TEXTS),
        files=draw(st.dictionaries(TEXTS, st.binary(max_size=64), max_size=3)),
        usage=draw(st.builds(Usage, wall_seconds=TIMES, cpu_seconds=TIMES)),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(any_run(), max_size=3))
def test_any_runs_have_findings_that_are_ordered_bounded_and_the_same_again(
    runs: list[Run],
) -> None:
    findings = find(runs, RULES, CANARIES)

    worst = [SEVERITIES.index(each.severity) for each in findings]
    assert worst == sorted(worst, reverse=True)
    assert len({each.rule for each in findings}) == len(findings)
    assert all(len(each.proofs) == min(each.count, MOST_PROOFS) for each in findings)
    assert findings == find(runs, RULES, CANARIES)


@settings(max_examples=150, deadline=None)
@given(any_run())
def test_any_proof_is_of_its_run_printable_and_shows_no_secret(seen: Run) -> None:
    proofs = [proof for each in find([seen], RULES, CANARIES) for proof in each.proofs]

    events = len(seen.record.events)
    assert all(proof.event is None or 0 <= proof.event < events for proof in proofs)
    assert all(proof.text.isprintable() for proof in proofs)
    assert CANARIES.in_text(*(proof.text for proof in proofs)) == ()


@settings(max_examples=100, deadline=None)
@given(any_run(), any_run())
def test_the_findings_of_two_runs_are_those_of_either(first: Run, second: Run) -> None:
    both = {each.rule for each in find([first, second], RULES, CANARIES)}

    alone = [find([each], RULES, CANARIES) for each in (first, second)]
    assert both == {each.rule for findings in alone for each in findings}

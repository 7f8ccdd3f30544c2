"""Findings as a whole: their order, their proofs, and who is taken for whom."""

from sandbox.review.findings import MOST_PROOFS, find
from sandbox.review.model import Review, Subject
from tests.unit.review.records import (
    RULES,
    TOOL,
    found,
    process,
    run,
    signalled,
    started,
    told,
    touched,
    tried,
)

FAMILY = (process(1, None), process(2), process(3, 2), process(4, None))


def test_no_runs_have_no_findings() -> None:
    assert find([], RULES) == ()


def test_the_worst_comes_first() -> None:
    seen = run(told("unpickle", "a.B"), started("sudo"), tried("connect", "169.254.169.254", 80))

    assert [each.severity for each in find([seen], RULES)] == ["high", "medium", "info"]


def test_proofs_name_run_and_event_and_are_at_most_twenty() -> None:
    many = [touched(f"/box/.ssh/id_{number}") for number in range(30)]

    finding = found(run(TOOL), run(TOOL, *many))["reads-credentials"]

    assert finding.count == 30
    assert len(finding.proofs) == MOST_PROOFS
    assert finding.proofs[0].run == 1
    assert finding.proofs[0].event == 1
    assert finding.proofs[0].text == "read /box/.ssh/id_0"


def test_an_event_that_fits_two_matches_of_a_rule_is_one_proof() -> None:
    twice = started("curl", "http://169.254.169.254/metadata.google.internal")

    assert found(run(twice))["asks-metadata-service"].count == 1


def test_a_proof_says_what_became_of_it_how_often_and_by_whom() -> None:
    event = touched("/etc/shadow", outcome="refused", count=3, process=2)

    (proof,) = found(run(event))["reads-credentials"].proofs

    assert proof.text == "read /etc/shadow, refused, 3 times, by process 2"


def test_a_proof_is_short_and_printable_whatever_the_guest_says() -> None:
    event = started("sudo", "\x1b[2J\u202e", "x" * 9_000)

    (proof,) = found(run(event))["asks-for-privileges"].proofs

    assert proof.text.isprintable()
    assert len(proof.text) == 240


def test_findings_fit_a_review() -> None:
    runs = (run(started("sudo")),)
    review = Review(
        subject=Subject(kind="command", name="tool", hash="00"),
        policy_name="review",
        policy_fingerprint="00",
        policy_says=(),
        reviewed_at="2026-01-01T00:00:00Z",
        runs=runs,
        findings=find(runs, RULES),
    )

    assert Review.from_json(review.to_json()) == review
    assert review.severity == "medium"


def test_the_search_for_the_subject_in_path_is_its_own() -> None:
    search = [
        started("bash", path=f"/{folder}/bash", process=1, outcome="missing") for folder in "ab"
    ]
    subject = started("bash", "a.sh", process=1)

    assert found(run(*search, subject)) == {}


def test_a_second_program_of_the_first_process_is_not_the_subject() -> None:
    assert "starts-a-shell" in found(run(TOOL, started("bash", "a.sh", process=1)))


def test_a_shell_that_python_becomes_is_not_the_subject() -> None:
    assert "starts-a-shell" in found(run(told("import", "os"), started("bash", process=1)))


def test_what_a_child_starts_is_started_by_what_its_parent_was() -> None:
    tree = run(started("bash", process=2), started("sh", "a.sh", process=3), processes=FAMILY)

    assert found(tree)["starts-a-shell"].count == 1
    assert found(tree)["starts-a-shell-from-a-shell"].count == 1


def test_a_signal_to_a_grandchild_is_to_a_child_and_one_to_another_branch_is_not() -> None:
    group = signalled("its own group")
    down = signalled("process 3", process=1)
    by_pid = signalled("pid 4", process=1)
    across = signalled("process 3", process=4)
    unknown = signalled("pid 77")

    assert "signals-others" not in found(run(down, by_pid, group, processes=FAMILY))
    assert found(run(across, unknown, processes=FAMILY))["signals-others"].count == 2


def test_a_record_whose_parents_go_round_is_looked_at_all_the_same() -> None:
    round_trip = (process(1, 2), process(2, 1))

    assert "starts-a-shell" in found(run(TOOL, started("sh"), processes=round_trip))


def test_a_listener_that_tells_no_address_has_what_was_bound() -> None:
    own = (tried("bind", "127.0.0.1", 80), tried("listen", family="inet"))

    assert found(run(*own))["listens-on-loopback"].count == 2
    assert "listens-for-others" in found(run(tried("listen", family="inet")))

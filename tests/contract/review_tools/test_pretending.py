"""Tools that pretend: what their own Python does not tell is seen from below."""

import pytest

from tests.contract.review_tools.conftest import ReviewOf, above_info, proofs

KEYS = {"reads-planted-secret": "medium", "reads-credentials": "medium"}
FILES = {"a.json": b'{"b": 1}'}

HIDDEN: dict[str, tuple[list[str], dict[str, bytes], dict[str, str], str]] = {
    "formatter.py": (["a.json"], FILES, KEYS, "read /box/.ssh/id_ed25519"),
    "removes_itself.sh": ([], {}, KEYS, "read /box/.ssh/id_ed25519, by process"),
    "renames_itself.c": ([], {}, KEYS, "read /box/.ssh/id_ed25519"),
    "grandchild.py": ([], {}, KEYS, "read /box/.aws/credentials, by process 3"),
    "raw_calls.py": ([], {}, KEYS, "read /box/.ssh/id_ed25519"),
    "removes_evidence.py": (
        [],
        {},
        {**KEYS, "leaks-planted-secret": "high"},
        "read /box/.pypirc",
    ),
}


@pytest.mark.parametrize("tool", HIDDEN)
def test_a_key_that_is_read_in_secret_is_found(tool: str, review_of: ReviewOf) -> None:
    arguments, files, found, words = HIDDEN[tool]

    review = review_of(f"pretending/{tool}", *arguments, files=files)

    assert above_info(review) == found
    assert words in proofs(review, "reads-planted-secret")


def test_a_formatter_that_reads_keys_still_formats(review_of: ReviewOf) -> None:
    review = review_of("pretending/formatter.py", "a.json", files=FILES)

    assert review.runs[0].result.files["a.json"] == b'{\n  "b": 1\n}'


@pytest.mark.parametrize(
    ("text", "found"), [(b"a test", {}), (b"production", KEYS)], ids=["harmless", "trigger"]
)
def test_what_depends_on_the_input_is_found_with_that_input(
    text: bytes, found: dict[str, str], review_of: ReviewOf
) -> None:
    review = review_of("pretending/on_demand.py", "a.txt", files={"a.txt": text})

    assert above_info(review) == found


def test_whoever_asks_whether_it_is_watched_is_told_that_it_is_not(review_of: ReviewOf) -> None:
    """Nobody traces it; that it asked is found, and it does the rest in the box, too."""
    review = review_of("misbehaving/look_around.py")

    assert "TracerPid" not in review.runs[0].result.stdout
    assert "read /proc/2/status" in proofs(review, "checks-for-a-box")


WAYS = [
    "read /box/.ssh/id_ed25519",
    "read /box/.aws/credentials",
    "read /box/.kube/config",
    "link /box/notes.txt to /box/.pypirc",
    "read /box/notes.txt",
    "read /box/settings/gcloud/application_default_credentials.json",
    "read /box/.git-credentials",
]


def test_a_key_is_known_whichever_way_leads_to_it(review_of: ReviewOf) -> None:
    review = review_of("pretending/long_ways.py")

    assert proofs(review, "reads-planted-secret").splitlines() == WAYS


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["flood_of_names.c", "flood_of_opens.c", "flood_of_files.c"])
def test_a_flood_hides_no_key_and_is_said_to_have_been_one(tool: str, review_of: ReviewOf) -> None:
    review = review_of(f"pretending/{tool}", "45000")

    assert above_info(review) == {**KEYS, "record-is-not-whole": "low"}
    assert "events are counted and not kept" in proofs(review, "record-is-not-whole")

"""Findings that several events make together: pipelines, other names of a file, silent crowds."""

import pytest

from sandbox.record import ProgramEvent, Sample
from sandbox.result import Usage
from sandbox.review.canaries import Canaries
from tests.unit.review.records import (
    found,
    missing,
    process,
    run,
    severities,
    started,
    touched,
)

CANARIES = Canaries.new()
KEY = "/box/.ssh/id_ed25519"
FAMILY = [process(1, None), process(2), process(3), process(4, 3)]


def beside(first: ProgramEvent, second: ProgramEvent) -> set[str]:
    """Give what is found of two programs, one beside the other, at "high"."""
    seen = severities(run(first, second, processes=FAMILY))
    return {rule for rule, severity in seen.items() if severity == "high"}


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        (("curl", "-s", "https://a.example"), ("sh",), "runs-what-it-downloads"),
        (("wget", "-O-", "https://a.example"), ("bash", "-s", "x"), "runs-what-it-downloads"),
        (("curl", "https://a.example"), ("python3", "-"), "runs-what-it-downloads"),
        (("base64", "-d"), ("dash",), "decodes-in-a-shell"),
        (("xxd", "-r", "-p"), ("bash",), "decodes-in-a-shell"),
    ],
)
def test_a_pipeline_into_what_reads_code_is_found(
    first: tuple[str, ...], second: tuple[str, ...], rule: str
) -> None:
    assert beside(started(*first), started(*second, process=3)) == {rule}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("curl", "https://a.example"), ("sh", "build.sh")),
        (("curl", "https://a.example"), ("tar", "xz")),
        (("base64", "-d"), ("jq", ".")),
        (("base64", "a.txt"), ("sh",)),
        (("sort", "a.txt"), ("sh",)),
    ],
)
def test_a_pipeline_into_what_reads_no_code_is_not(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    assert beside(started(*first), started(*second, process=3)) == set()


def test_a_shell_that_another_process_started_is_not_beside_a_download() -> None:
    assert beside(started("curl", "https://a.example"), started("sh", process=4)) == set()


def test_a_shell_long_after_a_download_is_not_beside_it() -> None:
    later = started("sh", process=3).model_copy(update={"at": 9.0})

    assert beside(started("curl", "https://a.example"), later) == set()


@pytest.mark.parametrize(
    "way",
    [
        [touched(KEY, "rename", to="/box/x"), touched("/box/x")],
        [touched("/box/.ssh", "rename", to="/box/y"), touched("/box/y/id_ed25519")],
        [touched("/box/x", "link", to=KEY)],
        [
            touched("/box/.ssh", "rename", to="/box/y"),
            touched("/box/z", "rename", to="/box/y"),
            touched("/box/y", "rename", to="/box/w"),
            touched("/box/w/id_ed25519"),
        ],
    ],
)
def test_a_planted_file_is_known_by_its_other_names(way: list[object]) -> None:
    finding = found(run(*way), canaries=CANARIES)["reads-planted-secret"]  # type: ignore[arg-type]

    assert finding.severity == "medium"


def test_a_file_of_a_like_name_is_not_taken_for_a_planted_one() -> None:
    way = [touched("/box/.sshd", "rename", to="/box/y"), touched("/box/y/id_ed25519")]

    assert "reads-planted-secret" not in found(run(*way), canaries=CANARIES)


def test_a_folder_of_keys_that_was_listed_was_not_read() -> None:
    """Whoever goes through its own folder comes by: find(1), linters, formatters."""
    assert severities(run(touched("/box/.aws", "list"))) == {"looks-for-credentials": "info"}


def test_processes_that_ask_for_nothing_are_counted() -> None:
    sample = Sample(at=0, cpu_seconds=0, memory_bytes=0, processes=150, output_bytes=0)

    assert "forks-without-end" in found(run(record={"samples": (sample,)}))
    assert "forks-without-end" in found(run(usage=Usage(peak_processes=150)))


def test_threads_are_no_crowd_of_processes() -> None:
    crowd = run(usage=Usage(peak_processes=150), record={"threads": 149})

    assert "forks-without-end" not in found(crowd)


def test_a_search_through_path_is_one_proof() -> None:
    tries = [
        started("xmrig", path=f"{folder}/xmrig", outcome="missing")
        for folder in ("/usr/local/bin", "/usr/bin", "/bin")
    ]

    finding = found(run(*tries))["mines-coins"]
    assert (finding.count, len(finding.proofs)) == (1, 1)


def test_a_compressor_that_tar_starts_is_no_shell_to_look_at() -> None:
    assert "starts-a-shell" not in found(run(started("sh", "-c", "gzip")))
    assert "starts-a-shell" in found(run(started("sh", "-c", "gzip; id")))


def test_what_is_missing_has_no_other_name() -> None:
    way = [missing("/box/.ssh", "rename", to="/box/y"), touched("/box/y/id_ed25519")]

    assert "reads-planted-secret" not in found(run(*way), canaries=CANARIES)

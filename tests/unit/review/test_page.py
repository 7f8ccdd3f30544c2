"""A review as one HTML document: what is in it, what cannot get into it, how large it is."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from sandbox.review.model import SEVERITIES, Proof, Review
from sandbox.review.page import PARTS, SCRIPTS, page
from sandbox.review.page_content import (
    MOST_ARGUMENTS,
    MOST_CHARACTERS,
    MOST_OUTPUT_CHARACTERS,
    describe,
    encode,
    sentence,
    visible,
)
from tests import reviews
from tests.review_records import UNWATCHED, file

MEBIBYTE = 1 << 20
BUILDERS: tuple[Callable[[], Review], ...] = (
    reviews.good,
    reviews.hostile,
    reviews.hostile_strings,
    reviews.huge,
)
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "a", "header", "noscript", "p", "form"),
    *("div", "nav", "main", "aside", "script"),
}


class Document(HTMLParser):
    """The tags of a document, with their attributes and what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.bodies: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._open = tag if attributes.get("type") is None else f"{tag} {attributes['type']}"
        self.bodies.setdefault(self._open, []).append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.bodies[self._open][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._open = "" if tag else self._open

    def policy(self) -> str:
        """Give the content security policy."""
        [found] = [at["content"] for tag, at in self.tags if tag == "meta" and "http-equiv" in at]
        return found or ""


def content(review: Review) -> dict[str, Any]:
    [text] = Document(page(review)).bodies["script application/json"]
    return dict(json.loads(text))


def is_named_by_its_hash(text: str, policy: str, directive: str) -> bool:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"{directive} 'sha256-{digest}'" in policy


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_only_the_pages_own_tags_are_in_it(build: Callable[[], Review]) -> None:
    tags = [tag for tag, _ in Document(page(build())).tags]

    assert set(tags) == TAGS
    assert tags.count("script") == 2


def test_it_points_to_nothing_outside() -> None:
    links = {"src", "href", "action", "data", "srcset", "poster", "background"}
    tags = Document(page(reviews.hostile())).tags
    targets = {
        value for _, attributes in tags for name, value in attributes.items() if name in links
    }

    assert targets == {"#findings"}


def test_its_style_and_its_script_are_those_that_its_policy_names() -> None:
    document = Document(page(reviews.good()))
    policy = document.policy()

    assert is_named_by_its_hash(document.bodies["style"][0], policy, "style-src")
    assert is_named_by_its_hash(document.bodies["script"][0], policy, "script-src")


def test_its_policy_allows_nothing_else() -> None:
    policy = Document(page(reviews.good())).policy()
    names = [term.split()[0] for term in policy.split("; ")]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert set(names) <= {
        *("default-src", "style-src", "script-src", "base-uri", "form-action"),
        *("require-trusted-types-for", "trusted-types"),
    }


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_what_the_guest_said_stands_in_letters_that_end_nothing(
    build: Callable[[], Review],
) -> None:
    text = encode(describe(build()))

    assert text.isascii()
    assert text.isprintable()
    assert not set("<>&") & set(text)


@pytest.mark.parametrize("text", reviews.HOSTILE_TEXTS[:4], ids=range(4))
def test_a_hostile_text_comes_back_as_it_was(text: str) -> None:
    events = content(reviews.hostile_strings())["runs"][0]["events"]

    assert text in [event.get("name") for event in events]


def test_a_title_is_written_out() -> None:
    text = page(reviews.hostile_strings().model_copy(update={"subject": spoofing_subject()}))
    [title] = Document(text).bodies["title"]

    assert title == "Security review of a\\u{202e}b</title><b>"
    assert "<b>" not in text


def spoofing_subject() -> Any:
    return reviews.SUBJECT.model_copy(update={"name": "a\u202eb</title><b>"})


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain ü 漢", "plain ü 漢"),
        ("\x1b[31m", "\\u{1b}[31m"),
        ("a\u200bb", "a\\u{200b}b"),
        ("\ud800", "\\u{d800}"),
        ("a\nb", "a\\u{a}b"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_a_place_in_what_the_guest_said_is_not_filled() -> None:
    text = page(reviews.hostile_strings())

    assert "\\\\u202e{{script}}{{review}}" in text


@pytest.mark.parametrize(
    "word",
    [
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser"),
        *("createContextualFragment", "srcdoc", "eval(", "new Function", "setTimeout", "import("),
        *("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "EventSource", "localStorage"),
        *("</script", "<!--", "cookie"),
    ],
)
def test_its_script_has_no_way_to_make_markup_or_to_reach_out(word: str) -> None:
    scripts = [(PARTS / name).read_text(encoding="utf-8") for name in SCRIPTS]

    assert [word for text in scripts if word in text] == []


def test_its_style_loads_nothing() -> None:
    assert not re.search(r"url\(|@import|@font-face", (PARTS / "page.css").read_text("utf-8"))


def test_every_script_that_is_shipped_is_in_it() -> None:
    assert {path.name for path in PARTS.glob("*.js")} == set(SCRIPTS)


def test_every_event_says_its_kind_and_leaves_out_what_goes_without_saying() -> None:
    events = content(reviews.good())["runs"][0]["events"]

    assert all("kind" in event for event in events)
    assert "outcome" not in events[0]


def test_all_that_a_reviewer_needs_is_in_it() -> None:
    review = reviews.hostile()
    said = content(review)

    assert said["least_policy"] == reviews.LEAST_POLICY
    assert said["policy_says"] == list(reviews.POLICY_SAYS)
    assert said["runs"][0]["unwatched"] == list(UNWATCHED)
    assert said["runs"][0]["not_kept"] == review.runs[0].record.not_kept
    assert len(said["runs"][0]["events"]) == len(review.runs[0].record.events)
    assert said["finding_counts"] == {"info": 1, "low": 2, "medium": 2, "high": 3}


def test_contents_of_files_stay_out_of_it() -> None:
    private = b"my private file"
    text = page(with_result(reviews.result(files={"notes.txt": private})))

    assert private.decode() not in text
    assert base64.b64encode(private).decode() not in text


def with_result(result: object) -> Review:
    review = reviews.good()
    run = review.runs[0].model_copy(update={"result": result})
    return review.model_copy(update={"runs": (run,)})


def test_of_large_output_the_head_is_in_it() -> None:
    shown = content(with_result(reviews.result(stdout="x" * 5 * MEBIBYTE, value=["y" * MEBIBYTE])))
    result = shown["runs"][0]["result"]

    assert result["stdout"].startswith("x" * MOST_OUTPUT_CHARACTERS + "… [")
    assert len(result["value"]) < MOST_CHARACTERS + 100


def test_output_that_just_fits_is_whole() -> None:
    shown = content(with_result(reviews.result(stdout="x" * MOST_OUTPUT_CHARACTERS)))

    assert shown["runs"][0]["result"]["stdout"] == "x" * MOST_OUTPUT_CHARACTERS


def test_long_arguments_are_cut_and_said_to_be() -> None:
    review = reviews.good()
    record = review.runs[0].record
    program = record.events[0].model_copy(update={"argv": ("x",) * 5_000})
    long = review.runs[0].model_copy(
        update={"record": record.model_copy(update={"events": (program,)})}
    )
    [event] = content(review.model_copy(update={"runs": (long,)}))["runs"][0]["events"]

    assert event["argv"][MOST_ARGUMENTS:] == ["[4800 more]"]


@pytest.mark.slow
def test_a_record_full_of_long_names_is_cut_shorter() -> None:
    review = reviews.good()
    long = file(0.1, 1, "read", "/" + "x" * 3_000)
    record = review.runs[0].record.model_copy(update={"events": (long,) * 10_000})
    run = review.runs[0].model_copy(update={"record": record})

    assert len(page(review.model_copy(update={"runs": (run,)}))) < 5 * MEBIBYTE


@pytest.mark.parametrize(
    ("build", "most"),
    [
        (reviews.good, MEBIBYTE // 4),
        (reviews.hostile_strings, MEBIBYTE // 2),
        (reviews.huge, 4 * MEBIBYTE),
    ],
    ids=["good", "hostile_strings", "huge"],
)
def test_it_is_not_larger_than_it_must_be(build: Callable[[], Review], most: int) -> None:
    assert len(page(build()).encode()) < most


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_verdict_is_one_sentence_that_names_the_worst(severity: Any) -> None:
    found = reviews.finding("rule", severity, "It did: so.", Proof(run=0, text="there"))
    said = sentence(reviews.good().model_copy(update={"findings": (found,)}))

    assert said.endswith(f": 1 finding of {severity} severity.")
    assert said.count(".") == 1


def test_without_a_finding_the_verdict_promises_no_more_than_was_seen() -> None:
    assert sentence(reviews.good()) == "These runs did nothing that the rules ask about."

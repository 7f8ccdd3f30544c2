"""The page of a review in a real browser: nothing runs but its own script, and all of it works."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from sandbox.record import Record
from sandbox.review.model import Review
from tests import reviews
from tests.contract.review.page.pages import SCHEMES, Open, Scheme, chip, expect_count, rows

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "build",
    [reviews.good, reviews.hostile, reviews.hostile_strings, reviews.huge],
    ids=lambda build: build.__name__,
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_opens_from_a_file_without_a_complaint_or_a_request(
    open_page: Open, build: Callable[[], Review], scheme: Scheme
) -> None:
    shown = open_page(build(), scheme=scheme)

    assert shown.locator("main > section").count() == 14


def test_the_verdict_is_the_first_thing_that_is_said(open_page: Open) -> None:
    shown = open_page(reviews.hostile())

    expect(shown.locator("#top .verdict")).to_contain_text("High severity")
    expect(shown.locator("#top .verdict")).to_contain_text("Not to be trusted as it is")
    expect(shown).to_have_title("Security review of invoice_helper")


def test_the_search_reaches_every_part(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator("#search").fill(".ssh id_rsa")

    expect_count(shown, "1 of 159 events")
    assert rows(shown, "events") == 1
    assert rows(shown, "files") == 1
    expect(shown.locator("#network")).to_contain_text("Nothing of this passes the filter.")
    expect(shown.locator(".lane-label")).to_have_count(1)
    expect(shown.locator("#files-count")).to_have_text("1 of 98")


@pytest.mark.parametrize(
    ("chips", "left"),
    [
        (["Network"], 9),
        (["Network", "Programs"], 16),
        (["Network", "refused"], 8),
        (["missing"], 32),
        (["High"], 15),
        (["High", "Network"], 0),
    ],
    ids=["one", "two", "of two kinds", "outcome", "severity", "nothing"],
)
def test_a_chip_leaves_what_it_names(open_page: Open, chips: list[str], left: int) -> None:
    shown = open_page(reviews.hostile())
    for name in chips:
        chip(shown, name).click()

    expect_count(shown, f"{left} of 159 events")


def test_a_pressed_chip_says_so_and_clearing_lets_all_go(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    signals = chip(shown, "Signals")
    signals.click()

    expect(signals).to_have_attribute("aria-pressed", "true")
    shown.locator("#clear").click()
    expect(signals).to_have_attribute("aria-pressed", "false")
    expect_count(shown, "159 of 159 events")


def test_one_process_can_be_looked_at_alone(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.get_by_label("Process", exact=True).select_option("7")

    expect_count(shown, "7 of 159 events")
    expect(shown.locator(".lane-name").last).to_have_text("ps aux")


def test_a_kind_of_access_can_be_looked_at_alone(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator("#files .parts .chip").filter(has_text="remove").click()

    expect(shown.locator("#files .tree-name")).to_have_text(["/box/orders.csv"])


def test_another_run_shows_its_own_events_and_its_own_end(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator(".run").nth(1).click()

    expect_count(shown, "90 of 90 events")
    expect(shown.locator("#result")).to_contain_text("ConnectionError")
    shown.locator(".run").nth(2).click()
    expect(shown.locator("#result .status")).to_have_text("timeout")


def test_many_runs_are_chosen_from_a_list(open_page: Open) -> None:
    review = reviews.hostile()
    shown = open_page(review.model_copy(update={"runs": review.runs * 3}))
    shown.get_by_label("Run", exact=True).select_option("7")

    expect_count(shown, "90 of 90 events")


def test_the_address_keeps_the_filter(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    chip(shown, "Network").click()
    shown.locator("#search").fill("4444")
    expect_count(shown, "4 of 159 events")
    address = shown.evaluate("location.hash")

    again = open_page(reviews.hostile(), address=address)
    expect_count(again, "4 of 159 events")
    expect(again.locator("#search")).to_have_value("4444")


@pytest.mark.parametrize(
    "address",
    [
        "#run=99&kind=<img>,__proto__&outcome=constructor&process=x&time=b,a&event=-1",
        "#nowhere",
        "#%",
        "#kind=%00&run=1e9&event=1.5&time=5,1",
    ],
)
def test_nonsense_in_the_address_is_no_filter(open_page: Open, address: str) -> None:
    shown = open_page(reviews.hostile(), address=address)

    expect_count(shown, "159 of 159 events")


def test_a_proof_leads_to_its_event(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator("#search").fill("nothing is called so")
    expect_count(shown, "0 of 159 events")
    shown.locator("#search").fill("keys and passwords")
    shown.locator("button.proof").first.click()

    expect(shown.locator("#details")).to_contain_text("read /root/.ssh/id_ed25519")
    expect(shown.locator("#details")).to_contain_text("It looked for keys and passwords")
    expect(shown.locator(".grid-events .row.selected")).to_contain_text("id_ed25519")
    expect(shown.locator("#timeline h2")).to_be_in_viewport()
    expect_count(shown, "159 of 159 events")


def test_a_proof_of_another_run_leads_there(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator("button.proof").filter(has_text="run 2").click()

    expect_count(shown, "90 of 90 events")
    expect(shown.locator(".run input").nth(1)).to_be_checked()


def test_dragging_over_the_processes_looks_at_that_time(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    plot = shown.locator(".lane-plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    shown.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=3)
    shown.mouse.up()

    expect(shown.locator(".chip.time")).to_be_visible()
    expect(shown.locator("#count")).to_have_text(re.compile(r"^\d\d of 159 events$"))
    shown.locator(".chip.time").click()
    expect_count(shown, "159 of 159 events")


def test_a_mark_under_the_pointer_says_what_it_is(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.get_by_label("Process", exact=True).select_option("4")
    shown.locator(".lane-plot").scroll_into_view_if_needed()
    box = shown.locator(".lane-plot").bounding_box()
    assert box
    at = 10 + 0.75 / 2.41 * (box["width"] - 20)
    expect(shown.locator(".lane-label")).to_have_count(3)
    shown.mouse.move(box["x"] + at, box["y"] + 2 * 34 + 20)

    expect(shown.locator(".tip")).to_contain_text("0.750 s")
    expect(shown.locator(".curve-value").nth(2)).to_have_text("2")


def test_the_least_policy_can_be_copied(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.get_by_role("button", name="Copy").click()

    expect(shown.locator(".least-head .soft")).to_have_text("copied")
    assert shown.evaluate("navigator.clipboard.readText()") == reviews.LEAST_POLICY


def test_what_is_missing_is_said_plainly(open_page: Open) -> None:
    shown = open_page(reviews.hostile())

    expect(shown.locator("#glance")).to_contain_text("1,204 more events went over the bounds")
    expect(shown.locator("#bounds")).to_contain_text("clock_nanosleep")
    expect(shown.locator("#environment .evidence")).to_contain_text("code can evade")
    expect(shown.locator("#python .evidence")).to_contain_text("code can evade")


def test_a_run_that_was_sampled_once_has_no_curves_and_says_so(open_page: Open) -> None:
    review = reviews.good()
    record = review.runs[0].record
    short = record.model_copy(update={"samples": record.samples[:1]})
    run = review.runs[0].model_copy(update={"record": short})
    shown = open_page(review.model_copy(update={"runs": (run,)}))

    expect(shown.locator("#timeline")).to_contain_text("No curves")
    expect(shown.locator(".curve").first).to_be_hidden()


def test_an_empty_record_is_shown_as_empty(open_page: Open) -> None:
    review = reviews.good()
    run = review.runs[0].model_copy(update={"record": Record()})
    shown = open_page(review.model_copy(update={"runs": (run,)}))

    expect_count(shown, "0 of 0 events")
    expect(shown.locator("#events")).to_contain_text("Nothing was seen.")


def test_a_process_that_was_never_seen_to_start_has_a_bar(open_page: Open) -> None:
    review = reviews.good()
    record = review.runs[0].record
    run = review.runs[0].model_copy(update={"record": record.model_copy(update={"processes": ()})})
    shown = open_page(review.model_copy(update={"runs": (run,)}))

    expect(shown.locator(".lane-name")).to_have_text(["a process that was not seen to start"])


def test_system_folders_are_closed_at_first(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    row = shown.locator("#files .row").filter(has_text="python/lib/python3.11")

    expect(row).to_have_attribute("aria-expanded", "false")
    before = rows(shown, "files")
    row.click()
    expect(row).to_have_attribute("aria-expanded", "true")
    assert rows(shown, "files") > before + 20


def test_hostile_strings_run_nothing_and_are_seen(open_page: Open) -> None:
    shown = open_page(reviews.hostile_strings())
    shown.locator(".grid-events .row").first.click()
    text = shown.locator("body").inner_text()

    assert shown.locator("img").count() == 0
    assert "owned" not in shown.title().replace(reviews.MARKUP, "")
    assert "\\u{202e}gnp.\\u{2066}exe" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00\x1b]", text)


def test_a_large_review_opens_at_once_and_filters_without_a_halt(open_page: Open) -> None:
    shown = open_page(reviews.huge())
    opening = [reopen_milliseconds(shown) for _ in range(3)]
    filtering = [search_milliseconds(shown, text) for text in ("part-0", "198.51", "read")]

    assert min(opening) < 2_000
    assert min(filtering) < 400
    assert shown.evaluate("document.querySelectorAll('*').length") < 5_000


def reopen_milliseconds(shown: Page) -> float:
    shown.reload()
    expect(shown.locator("html")).to_have_attribute("data-ready", "yes")
    return float(shown.evaluate("performance.getEntriesByType('navigation')[0].domComplete"))


def search_milliseconds(shown: Page, text: str) -> float:
    search = """async (text) => {
        const box = document.getElementById("search");
        const start = performance.now();
        box.value = text;
        box.dispatchEvent(new Event("input"));
        await new Promise((drawn) => requestAnimationFrame(() => drawn()));
        document.body.offsetHeight;
        return performance.now() - start;
    }"""
    return float(shown.evaluate(search, text))


def test_of_a_large_table_the_last_row_can_be_reached(open_page: Open) -> None:
    shown = open_page(reviews.huge())
    shown.locator(".grid-events").press("End")

    expect(shown.locator(".grid-events .row.active")).to_have_attribute("aria-rowindex", "20001")


def test_it_can_be_printed(open_page: Open) -> None:
    shown = open_page(reviews.hostile(), scheme="dark")

    assert shown.pdf().startswith(b"%PDF")
    expect(shown.locator("html")).not_to_have_attribute("data-print", "")

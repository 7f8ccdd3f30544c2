"""Whoever reads the page: by keyboard, on a small screen, in the dark, with a screen reader."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests import reviews
from tests.contract.review.page.pages import (
    SCHEMES,
    WIDTHS,
    Open,
    Scheme,
    chip,
    expect_count,
    focused,
    rows,
)

pytestmark = pytest.mark.slow

MOST_TABS = 120
FAINT_TEXTS = r"""() => {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = numbers(colour).slice(0, 3).map((each) => each / 255)
            .map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (let each = node; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (numbers(colour)[3] !== 0) return colour;
        }
    };
    const contrast = (node) => {
        const pair = [light(getComputedStyle(node).color), light(ground(node))].sort();
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    };
    const hasText = (node) => [...node.childNodes].some(
        (each) => each.nodeType === Node.TEXT_NODE && each.textContent.trim());
    return [...document.querySelectorAll("body *")]
        .filter((node) => node.checkVisibility() && hasText(node) && !node.closest(":disabled"))
        .filter((node) => !["SCRIPT", "OPTION"].includes(node.tagName) && contrast(node) < 4.5)
        .map((node) => `${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`);
}"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, [role], a, canvas")]
    .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden=true]"))
    .filter((node) => !node.getAttribute("aria-label") && !node.textContent.trim()
        && !node.labels?.length && !node.hasAttribute("aria-labelledby"))
    .filter((node) => !["rowgroup", "presentation", "gridcell", "status"].includes(
        node.getAttribute("role")))
    .map((node) => node.outerHTML.slice(0, 120))"""
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 1)
    .filter((node) => !node.closest(".scroll-x, #sections ul, .runs, .grid, .unseen, pre"))
    .map((node) => `${node.tagName}.${node.className}`)"""
REPEATED_IDS = """() => [...document.querySelectorAll("[id]")].map((node) => node.id)
    .filter((id, place, all) => all.indexOf(id) !== place)"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "build",
    [reviews.hostile, reviews.hostile_strings, reviews.huge],
    ids=lambda build: build.__name__,
)
def test_nothing_is_wider_than_the_window(open_page: Open, width: int, build: object) -> None:
    assert callable(build)
    shown = open_page(build(), width=width)

    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_main_controls_are_in_sight(open_page: Open, width: int) -> None:
    shown = open_page(reviews.hostile(), width=width)
    shown.locator("#files").scroll_into_view_if_needed()

    for selector in ("#search", "#open-filter", "select[aria-label=Process]", "#count"):
        expect(shown.locator(selector)).to_be_in_viewport(ratio=1)


def test_on_a_small_screen_the_filter_opens_and_filters(open_page: Open) -> None:
    shown = open_page(reviews.hostile(), width=390)

    expect(chip(shown, "Network")).to_be_hidden()
    shown.locator("#open-filter").click()
    chip(shown, "Network").click()
    expect_count(shown, "9 of 159 events")


def test_on_a_small_screen_a_row_shows_all_of_what_matters(open_page: Open) -> None:
    shown = open_page(reviews.hostile(), width=390)
    row = shown.locator(".grid-network .row").first
    row.scroll_into_view_if_needed()

    for part in ("refused", "resolve", "telemetry.invoice-helper.example"):
        expect(row.get_by_text(part)).to_be_visible()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_all_text_stands_out_from_its_ground(open_page: Open, scheme: Scheme, width: int) -> None:
    shown = open_page(reviews.hostile(), scheme=scheme, width=width, address="#event=40&kind=file")

    assert shown.evaluate(FAINT_TEXTS) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_control_has_a_name_and_every_id_one_bearer(open_page: Open, width: int) -> None:
    shown = open_page(reviews.hostile(), width=width)

    assert shown.evaluate(NAMELESS) == []
    assert shown.evaluate(REPEATED_IDS) == []


def test_every_part_is_reached_by_tab(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    reached = list[str]()
    for _ in range(MOST_TABS):
        shown.keyboard.press("Tab")
        reached.append(focused(shown))

    said = " ".join(reached)
    assert reached[0] == "skip"
    assert [name for name in PARTS if name not in said] == []


PARTS = (
    *("search", "open-filter", "chip", "proof", "brush-handle from", "brush-handle to", "lanes"),
    *("grid-events", "grid-files", "grid-network", "grid-program", "grid-system_call"),
    *("grid-signal", "grid-environment", "grid-python", "scroll-x", "PRE"),
)


def test_the_skip_link_leads_to_the_findings(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")

    assert focused(shown) == "findings"
    shown.keyboard.press("Tab")
    assert focused(shown) == "proof"


def test_a_slash_searches_and_escape_lets_go(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.keyboard.press("/")
    shown.keyboard.type("shadow")
    expect_count(shown, "1 of 159 events")

    shown.keyboard.press("Escape")
    expect_count(shown, "159 of 159 events")
    chip(shown, "Network").press("Enter")
    expect_count(shown, "9 of 159 events")
    shown.keyboard.press("Escape")
    expect_count(shown, "159 of 159 events")


def test_a_proof_is_opened_and_left_by_keys(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator("button.proof").nth(1).press("Enter")
    expect(shown.locator("#details")).to_be_focused()

    shown.keyboard.press("Escape")
    expect(shown.locator("#details")).to_be_hidden()
    expect(shown.locator("button.proof").nth(1)).to_be_focused()


def test_the_tree_is_walked_by_arrows(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    tree = shown.locator(".grid-files")
    tree.focus()
    whole = rows(shown, "files")

    shown.keyboard.press("ArrowLeft")
    assert rows(shown, "files") == whole - 3
    shown.keyboard.press("ArrowRight")
    assert rows(shown, "files") == whole
    shown.keyboard.press("ArrowRight")
    expect(tree.locator(".row.active")).to_contain_text("orders.csv")
    expect(tree).to_have_attribute("aria-activedescendant", "files-row-1")
    shown.keyboard.press("ArrowLeft")
    expect(tree.locator(".row.active")).to_contain_text("/box")
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("Enter")
    expect(shown.locator("#details")).to_contain_text("/box/orders.csv")


def test_a_table_is_walked_by_arrows(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator(".grid-network").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        shown.keyboard.press(key)

    expect(shown.locator("#details")).to_contain_text("connect 198.51.100.7:80")
    expect(shown.locator(".grid-network .row.selected")).to_have_attribute("aria-selected", "true")


def test_the_timeline_is_walked_and_told_by_keys(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator(".lanes").focus()
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowDown")
    expect(shown.locator("#said")).to_contain_text("process 3")
    expect(shown.locator(".tip")).to_be_visible()

    shown.keyboard.press("ArrowRight")
    expect(shown.locator("#said")).to_contain_text("connect 198.51.100.7:80, refused")
    shown.keyboard.press("Enter")
    expect(shown.locator("#details")).to_contain_text("198.51.100.7")


def test_the_timeline_is_zoomed_by_keys(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator(".lanes").focus()
    shown.keyboard.press("+")
    expect(shown.locator(".chip.time")).to_be_visible()
    shown.keyboard.press("0")
    expect(shown.locator(".chip.time")).to_be_hidden()

    shown.locator(".brush-handle.from").press("Shift+ArrowRight")
    expect(shown.locator(".brush-handle.from")).to_have_attribute("aria-valuenow", "0.241")
    expect(shown.locator("#count")).to_have_text(re.compile(r"^1[0-4]\d of 159 events$"))


def test_runs_are_switched_by_arrows(open_page: Open) -> None:
    shown = open_page(reviews.hostile())
    shown.locator(".run input").first.focus()
    shown.keyboard.press("ArrowRight")

    expect_count(shown, "90 of 90 events")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_has_the_keyboard_is_marked(open_page: Open, scheme: Scheme) -> None:
    shown = open_page(reviews.hostile(), scheme=scheme)
    for _ in range(6):
        shown.keyboard.press("Tab")

    assert outline(shown) == "solid"


def outline(shown: Page) -> str:
    return str(shown.evaluate("getComputedStyle(document.activeElement).outlineStyle"))


def test_who_wants_no_motion_gets_none(open_page: Open) -> None:
    shown = open_page(reviews.hostile())

    assert shown.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"

"""A real browser for the page of a review. Not run where there is no Chromium."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from sandbox.review.model import Review
from sandbox.review.page import page
from tests.conftest import REQUIRED
from tests.contract.review.page.pages import Open, Scheme

CHROMIUM: Final = shutil.which("chromium")
ARGUMENTS: Final = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MILLISECONDS: Final = 10_000


@dataclass
class Opened:
    """A page in the browser, what was complained about there, what it asked the network for."""

    page: Page
    complaints: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])

    def listen(self) -> None:
        """Keep what the page says and asks for from now on."""
        self.page.set_default_timeout(PATIENCE_MILLISECONDS)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda fault: self.complaints.append(str(fault)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _heard(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{message.type}: {message.text}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window, for all tests here."""
    if CHROMIUM is None:
        (pytest.fail if "browser" in REQUIRED else pytest.skip)(
            "no browser here: apt-get install chromium"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open a review from a file; at the end, nothing was complained about and nothing asked for."""
    opened = list[Opened]()

    def show(
        review: Review, width: int = 1280, scheme: Scheme = "light", address: str = ""
    ) -> Page:
        file = tmp_path / "review.html"
        file.write_text(page(review), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        opened.append(Opened(context.new_page()))
        opened[-1].listen()
        opened[-1].page.goto(f"{file.as_uri()}{address}")
        expect(opened[-1].page.locator("html")).to_have_attribute("data-ready", "yes")
        return opened[-1].page

    yield show
    for each in opened:
        each.page.context.close()
        assert each.complaints == []
        assert {url.partition("#")[0] for url in each.requests} == {
            f"file://{tmp_path}/review.html"
        }

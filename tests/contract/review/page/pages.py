"""What tests of the page say and ask of it."""

import re
from collections.abc import Callable
from typing import Literal

from playwright.sync_api import Locator, Page, expect

Open = Callable[..., Page]
"""open_page(review, width=1280, scheme="light", address="#q=...")."""
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = (390, 1280)


def expect_count(shown: Page, text: str) -> None:
    """Wait until the page says that so many events pass the filter."""
    expect(shown.locator("#count")).to_have_text(text)


def rows(shown: Page, name: str) -> int:
    """Give how many rows a grid has, in sight or not."""
    return int(shown.locator(f".grid-{name}").get_attribute("aria-rowcount") or 1) - 1


def focused(shown: Page) -> str:
    """Say what has the keyboard: its id, or its classes, or its tag."""
    return str(
        shown.evaluate(
            "(({id, className, tagName}) => id || className || tagName)(document.activeElement)"
        )
    )


def chip(shown: Page, name: str) -> Locator:
    """Give the button of the filter bar with this name and a count."""
    return shown.locator("#more").get_by_role("button", name=re.compile(rf"^{name}\s*[\d,]+$"))

"""A review as one HTML document that needs nothing else: no network, no server, no build.

What the guest said goes in as JSON, in ASCII alone, inside a block that no browser runs; the
page's own script puts it on the screen as text. The page runs no script and loads no style but
those that its content security policy names by their hashes.
"""

import base64
import hashlib
import html
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from sandbox.review.model import Review
from sandbox.review.page_content import FEW_CHARACTERS, describe, encode, sentence, visible

__all__ = ["page"]

PARTS: Final = Path(__file__).parent / "page_parts"
SCRIPTS: Final = (
    "text.js",
    "review.js",
    "filter.js",
    "list.js",
    "scale.js",
    "brush.js",
    "curves.js",
    "lanes.js",
    "timeline.js",
    "files.js",
    "tables.js",
    "sections.js",
    "main.js",
)
"""In the order in which they stand in the page: each uses only what stands before it."""

MOST_CONTENT: Final = 16 << 20
"""In characters; a guest that fills its record with long names gets them cut shorter."""

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(review: Review) -> str:
    """Give the whole document, to be written as UTF-8.

    It holds at most the head of each stream and of each long text, and no file's content.
    """
    said = sentence(review)
    places = {
        "title": html.escape(visible(f"Security review of {review.subject.name}")),
        "sentence": html.escape(said),
        "review": _content(review),
        "style": _style(),
        "script": _script(),
        "csp": html.escape(_content_security_policy()),
    }
    return _fill(_part("page.html"), places)


def _content(review: Review) -> str:
    whole = encode(describe(review))
    return whole if len(whole) <= MOST_CONTENT else encode(describe(review, FEW_CHARACTERS))


def _fill(template: str, places: Mapping[str, str]) -> str:
    # In one pass: what is put in is never looked at for places again.
    return _PLACE.sub(lambda found: places[found[1]], template)


@cache
def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


@cache
def _style() -> str:
    return f"\n{_part('page.css')}"


@cache
def _script() -> str:
    """Give all scripts as one function's body: nothing of theirs is seen from outside."""
    body = "\n".join(_part(name) for name in SCRIPTS)
    return f'\n"use strict";\n(() => {{\n{body}}})();\n'


@cache
def _content_security_policy() -> str:
    terms = (
        "default-src 'none'",
        f"style-src {_hash(_style())}",
        f"script-src {_hash(_script())}",
        "base-uri 'none'",
        "form-action 'none'",
        # No text is ever made into markup or code: the browser refuses innerHTML and its like.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return "; ".join(terms)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

"""Reads a function's docstring: what it does, and what its arguments mean."""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import docstring_parser
from docstring_parser.common import Docstring as Parsed

__all__ = ["Docstring", "read_docstring"]

_STYLES: Final = (
    docstring_parser.DocstringStyle.GOOGLE,
    docstring_parser.DocstringStyle.NUMPYDOC,
    docstring_parser.DocstringStyle.REST,
)


@dataclass(frozen=True, kw_only=True)
class Docstring:
    """What a docstring says. whole: all of it. summary: what stands before its sections."""

    whole: str = ""
    summary: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name of an argument to its text; only those that the function has."""


def read_docstring(text: str | None, names: Collection[str]) -> Docstring:
    """Read a docstring in google, numpy or sphinx style: the one that knows most of the names.

    names: of the function's arguments. A text in none of the styles is all summary. Never raises.
    """
    if not text:
        return Docstring()
    whole = inspect.cleandoc(text)
    known = [each for each in map(_Style(whole, names).read, _STYLES) if each is not None]
    # The first of equals: google, whose reader leaves a text without sections as it is.
    _, best = max(known, key=lambda each: each[0], default=((0, 0), Docstring(summary=whole)))
    return Docstring(whole=whole, summary=best.summary, arguments=best.arguments)


@dataclass(frozen=True)
class _Style:
    """One text, to be read in several styles."""

    whole: str
    names: Collection[str]

    def read(
        self, style: docstring_parser.DocstringStyle
    ) -> tuple[tuple[int, int], Docstring] | None:
        """Give how well the style fits and what it reads; None where it cannot read."""
        try:
            parsed = docstring_parser.parse(self.whole, style)
        except docstring_parser.ParseError:
            return None
        arguments = _arguments(parsed, self.names)
        fit = (len(arguments), len(parsed.meta))
        return fit, Docstring(summary=(parsed.description or "").strip(), arguments=arguments)


def _arguments(parsed: Parsed, names: Collection[str]) -> dict[str, str]:
    """Take the texts of arguments; numpy may give one text to several names."""
    texts: dict[str, str] = {}
    for parameter in parsed.params:
        for name in parameter.arg_name.split(","):
            plain = name.strip().lstrip("*")
            if plain in names and parameter.description:
                texts[plain] = parameter.description.strip()
    return texts

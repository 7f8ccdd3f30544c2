"""The patterns of a rule document, read once and compiled into one regular expression each list.

Of paths "*" stays within one folder, "**" goes through any number of them, and a last "/**" is also
the folder itself; "~" is any home: /box, /root or one in /home. Of other texts "*" is anything.
"""

import fnmatch
import re
from collections.abc import Callable, Iterator
from typing import Annotated, cast, final

from pydantic import PlainSerializer, PlainValidator

__all__ = ["NO_PATHS", "NO_TEXTS", "Globs", "PathGlobs", "TextGlobs", "path_globs", "text_globs"]

_HOME = "/(?:box|root|home/[^/]+)"
_PATH_BEGINS = ("/", "~/", "**/")
_PATH_PART = re.compile(r"\*\*/|\*\*$|\*|\?|\[[^]]+\]|.", re.DOTALL)
_PATH_MEANS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@final
class Globs:
    """Some patterns: a text fits if one of them is all of it."""

    def __init__(self, patterns: tuple[str, ...], to_regex: Callable[[str], str]) -> None:
        """Compile them."""
        self.patterns = patterns
        self._compiled = re.compile("|".join(map(to_regex, patterns)) or r"(?!)", re.DOTALL)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.patterns)

    def fits(self, *texts: str) -> bool:
        """Whether one of the texts fits one of the patterns."""
        return any(self._compiled.fullmatch(text) for text in texts if text)


def _path_regex(glob: str) -> str:
    """Translate a pattern of paths."""
    if not glob.startswith(_PATH_BEGINS):
        message = f"{glob!r} is no pattern of whole paths: begin it with /, ~/ or **/"
        raise ValueError(message)
    home, rest = (_HOME, glob[1:]) if glob.startswith("~") else ("", glob)
    if rest.endswith("/**"):
        return f"{home}{''.join(_parts(rest[:-3]))}(?:/.*)?"
    return home + "".join(_parts(rest))


def _parts(glob: str) -> Iterator[str]:
    for found in _PATH_PART.finditer(glob):
        part = found[0]
        is_set = len(part) > 1 and part.startswith("[")
        plain = part if is_set else re.escape(part)
        yield _PATH_MEANS.get(part, plain)


def _text_regex(glob: str) -> str:
    # the translation of the standard library never goes back over a "*": a long text of a guest's
    # costs a moment, whatever stands in it
    return fnmatch.translate(glob)


def _reader(to_regex: Callable[[str], str]) -> PlainValidator:
    def read(written: object) -> Globs:
        if isinstance(written, Globs):
            return written
        if not isinstance(written, list) or not written:
            message = "is no list of patterns: write at least one, in brackets"
            raise ValueError(message)
        patterns = tuple(map(_pattern, cast("list[object]", written)))
        return _compiled(patterns, to_regex)

    return PlainValidator(read)


def _pattern(written: object) -> str:
    if not isinstance(written, str) or not written:
        message = f"{written!r} is no pattern: write text"
        raise ValueError(message)
    return written


def _compiled(patterns: tuple[str, ...], to_regex: Callable[[str], str]) -> Globs:
    try:
        return Globs(patterns, to_regex)
    except re.error as error:
        message = f"has a pattern that cannot be read: {error}"
        raise ValueError(message) from error


_WRITER = PlainSerializer(lambda globs: globs.patterns, return_type=tuple[str, ...])

PathGlobs = Annotated[Globs, _reader(_path_regex), _WRITER]
"""Patterns of absolute paths."""
TextGlobs = Annotated[Globs, _reader(_text_regex), _WRITER]
"""Patterns of any text."""


def path_globs(*patterns: str) -> Globs:
    """Compile patterns of paths. Raises ValueError for one that cannot be read."""
    return _compiled(patterns, _path_regex)


def text_globs(*patterns: str) -> Globs:
    """Compile patterns of other texts."""
    return _compiled(patterns, _text_regex)


NO_PATHS = path_globs()
NO_TEXTS = text_globs()

"""Which names in a record were made up for one run: by chance, by the date, or from a number."""

import re
from typing import Final

__all__ = ["SYSTEM_FOLDERS", "is_made_up", "is_system", "normal_path", "normal_text"]

SYSTEM_FOLDERS: Final = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc"),
    *("/opt/python", "/opt/packages", "/run/sandbox"),
)
"""What a guest sees read-only, and the same each time: names in it are never made up."""

_SYSTEM: Final = tuple(f"{folder}/" for folder in SYSTEM_FOLDERS)
_MARK: Final = "*"
_ALONE: Final = r"(?<![0-9A-Za-z]){}(?![0-9A-Za-z])"
_DAY: Final = r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
_TIME: Final = r"(?:[-_T. ]?[0-2]\d[-_:.h]?[0-5]\d(?:[-_:.m]?[0-5]\d)?(?:\.\d+)?Z?)?"
_HEXADECIMAL: Final = r"(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}"
_UUID: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# eight of [a-z0-9_] is tempfile's, ten of [A-Za-z0-9] mktemp(1)'s, six are mkstemp(3)'s
_TEMPORARY: Final = (
    r"(?<![0-9A-Za-z])(?P<kept>tmp|pymp-|psm_|mp-|cc|tmp\.|temp-|tmp_obj_|pytest-cache-files-)"
    r"(?:(?<=cc)[A-Za-z0-9]{6}(?=\.)|(?<=tmp\.)[A-Za-z0-9]{6,10}|(?<=tmp_obj_)[A-Za-z0-9]{6}"
    r"|(?<!cc)(?<!obj_)[a-z0-9_]{8})"
    r"(?![0-9A-Za-z])"
)
# letters and digits that take turns, as no word does
_MIXED: Final = r"(?=(?:[0-9]*[A-Za-z]+[0-9]+){2}|(?:[A-Za-z]*[0-9]+[A-Za-z]+){2})[0-9A-Za-z]{8,}"
_NUMBER: Final = r"\d{4,}"
_MADE_UP: Final = tuple(
    re.compile(pattern)
    for pattern in (
        _TEMPORARY,
        _ALONE.format(_UUID),
        _ALONE.format(_DAY + _TIME),
        _ALONE.format(_HEXADECIMAL),
        _ALONE.format(_NUMBER),
        _ALONE.format(_MIXED),
    )
)
_COMPILED: Final = re.compile(r"__pycache__/([^/]+?)\.(?:cpython|pypy)[^/.]*(?:\.opt-\d)?\.pyc$")
# what git names after content that has the time in it, and tries whether links work with
_OF_GIT: Final = re.compile(
    r"(?<=/objects/)[0-9a-f]{2}(?=/|$)|(?<=/\.git/t)[A-Za-z0-9]{6}$|(?<=^\.git/t)[A-Za-z0-9]{6}$"
)
_PROCESS: Final = re.compile(r"(?<=/)\d+(?=/|$)")
_NAME_CHARACTERS: Final = 255
"""Longer is no file's name; the patterns are not to look at what a guest made to be slow."""


def is_made_up(name: str) -> bool:
    """Tell whether a file's name looks random, dated or numbered."""
    return normal_text(name) != name


def normal_text(text: str) -> str:
    """Put "*" in the place of what looks random, dated or numbered, and keep the rest."""
    normal = text[:_NAME_CHARACTERS]
    for pattern in _MADE_UP:
        normal = pattern.sub(_marked, normal)
    return normal


def normal_path(path: str) -> str:
    """Give a path with the names in it that were made up marked, and compiled code as its source.

    Names of the read-only system stay: they are the same each time. Of /proc, every number goes.
    """
    if path.startswith("/proc/"):
        return _PROCESS.sub(_MARK, path)
    source = _COMPILED.sub(r"\1.py", path)
    if is_system(source):
        return source
    names = _OF_GIT.sub(_MARK, source).split("/")
    return "/".join(normal_text(name) for name in names)


def is_system(path: str) -> bool:
    """Tell whether a path is at or below what every guest sees read-only."""
    return f"{path}/".startswith(_SYSTEM)


def _marked(found: re.Match[str]) -> str:
    return (found.groupdict().get("kept") or "") + _MARK

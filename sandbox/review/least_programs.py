"""Which programs runs started, and what a list of them must name."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sandbox.policy import AnyProgram, ListedPrograms, NoPrograms, Policy
from sandbox.review.model import Run
from sandbox.review.places import Places, read_start
from sandbox.review.used import Seen, plain, programs_started, same_program, told

__all__ = ["LeastPrograms", "least_programs"]

Programs: TypeAlias = AnyProgram | NoPrograms | ListedPrograms
MOST_PROGRAMS: Final = 64
"""Of more, no reader looks through the list."""
_SHEBANG_BYTES: Final = 256
_SHEBANGS: Final = 5
"""What the kernel follows, binfmt_script."""
_SHEBANG: Final = re.compile(rb"#![ \t]*([^ \t\r\n\0]+)")


@dataclass(frozen=True, kw_only=True)
class LeastPrograms:
    """The programs to allow, and why, in lines for a comment."""

    programs: Programs
    why: tuple[str, ...]


class _CannotBeSaidError(Exception):
    """No list can name what was started; the argument says why."""


def least_programs(base: Policy, runs: Sequence[Run], places: Places) -> LeastPrograms:
    """Give none, those that were started with what their scripts need, or all that base allows."""
    started = programs_started(runs)
    if not started or isinstance(base.programs, NoPrograms):
        return LeastPrograms(programs=NoPrograms(), why=("no program was started",))
    try:
        listed = _listed(base, started, places)
        allowed = ListedPrograms(allow=tuple(sorted(listed)))
    except (_CannotBeSaidError, ValueError) as error:
        fault = str(error) if isinstance(error, _CannotBeSaidError) else "a path is no plain one"
        return LeastPrograms(programs=base.programs, why=(f"cannot be listed: {fault}",))
    why = tuple(f"{plain(path)}: {listed[path]}" for path in sorted(listed))
    return LeastPrograms(programs=allowed, why=why)


def _listed(base: Policy, started: dict[str, list[Seen]], places: Places) -> dict[str, str]:
    listed: dict[str, str] = {}
    for path in sorted(started):
        listed[path] = told(started[path])
        for interpreter in _interpreters(path, places):
            listed.setdefault(interpreter, f"runs the script {plain(path)}")
    if len(listed) > MOST_PROGRAMS:
        message = f"{len(listed)} programs were started"
        raise _CannotBeSaidError(message)
    if isinstance(base.programs, ListedPrograms):
        return _as_base_names(base.programs, listed)
    return listed


def _interpreters(path: str, places: Places) -> Iterator[str]:
    """Give what the kernel starts for a script: its "#!" line, and that of what it names."""
    for _ in range(_SHEBANGS):
        start = _start_of(path, places)
        found = _SHEBANG.match(start)
        if not found:
            return
        path = os.fsdecode(found[1])
        yield path


def _start_of(path: str, places: Places) -> bytes:
    """Read where a program begins. What a run made, or was given, is not there before it."""
    found = places.find(path)
    start = read_start(found, _SHEBANG_BYTES) if found else b""
    if not start:
        message = f"{plain(path)} is not there before a run, or cannot be read"
        raise _CannotBeSaidError(message)
    return start


def _as_base_names(base: ListedPrograms, listed: dict[str, str]) -> dict[str, str]:
    """Give the base's own names of these programs; a record has them with links followed."""
    named: dict[str, str] = {}
    for path, why in listed.items():
        names = [each for each in base.allow if same_program(each, path)]
        if not names:
            message = f"the base has {plain(path)} under another name"
            raise _CannotBeSaidError(message)
        named |= dict.fromkeys(names, why)
    return named

"""Which of a policy's file grants runs used, and the smallest grants that would have done."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal, TypeAlias

from pydantic import ValidationError

from sandbox.policy import FileGrant, Policy
from sandbox.record import FileEvent, NetworkEvent
from sandbox.review.made_up import is_made_up
from sandbox.review.model import Run
from sandbox.review.used import Seen, events_of, plain, told

__all__ = ["Use", "least_files", "outside_of", "uses_by_grant"]

FEW: Final = 3
"""So many places below a folder are granted one by one; of more, the folder."""
_MOST_DEPTH: Final = 64
Parts: TypeAlias = tuple[str, ...]
"""The names from a grant's place down to what was used; none for the place itself."""
Need: TypeAlias = Literal["look", "read", "write"]
_NEEDS: Final = ("look", "read", "write")


@dataclass(frozen=True, kw_only=True)
class Use:
    """Something that a run needed of a grant."""

    parts: Parts
    need: Need
    seen: Seen


@dataclass(frozen=True, kw_only=True)
class _Touch:
    """A place in the guest that an event needs."""

    path: PurePosixPath
    need: Need


def least_files(base: Policy, runs: Sequence[Run]) -> tuple[FileGrant, ...]:
    """Give the smallest grants under which the runs see and change all that they did.

    Each lies at or below a grant of the base, and is "write" only where something was written,
    made, changed or removed. What was made or removed needs its folder: a mounted file cannot go.
    A grant is not narrowed past a symbolic link, which would lead elsewhere the day it is changed,
    nor to a name that looks made up. One that covers a part of another stays whole, used or not:
    without it, what it covers would be seen.
    """
    used = uses_by_grant(base, runs)
    grants = {
        grant.at: grant for each in base.files if used[each.at] for grant in _narrow(each, used)
    }
    for cover in base.files:
        if _covers(cover, grants):
            own = used[cover.at]
            grants = {at: each for at, each in grants.items() if not _is_of(each, cover, base)}
            grants[cover.at] = cover.model_copy(
                update={"access": _access(cover, own), "reason": _reason_of_cover(own)}
            )
    return tuple(grants[at] for at in sorted(grants))


def _narrow(grant: FileGrant, used: dict[str, list[Use]]) -> Iterator[FileGrant]:
    uses = [_without_links(grant, use) for use in used[grant.at]]
    written = _fewest({use.parts for use in uses if use.need == "write"})
    rest = [use for use in uses if not _is_below(use.parts, written)]
    read = _fewest(_without_ways(rest, written))
    read = {parts for parts in read if not _is_below(parts, written)}
    for parts in sorted(written | read):
        inside = [use for use in uses if _is_below(use.parts, {parts})]
        yield _grant(grant, parts, _reason(inside), is_written=parts in written)


def _reason(uses: Sequence[Use]) -> str:
    """Say what asks for the most: who reads a file has mostly looked at it before."""
    most = max((use.need for use in uses), key=_NEEDS.index)
    return told(use.seen for use in uses if use.need == most)


def _grant(base: FileGrant, parts: Parts, reason: str, *, is_written: bool) -> FileGrant:
    return FileGrant(
        path=str(PurePosixPath(base.path, *parts)),
        at=str(PurePosixPath(base.at, *parts)),
        access="write" if is_written else "read",
        reason=reason,
    )


# What was used


def uses_by_grant(policy: Policy, runs: Sequence[Run]) -> dict[str, list[Use]]:
    """Give what runs used of each grant, by the place at which it appears; of some, nothing."""
    used: dict[str, list[Use]] = {grant.at: [] for grant in policy.files}
    deepest = sorted(policy.files, key=lambda grant: len(grant.at), reverse=True)
    if not deepest:
        return used
    for seen in events_of(runs):
        for touch in _touches(seen):
            grant = next((each for each in deepest if touch.path.is_relative_to(each.at)), None)
            if grant:
                used[grant.at].append(_use(grant, touch, seen))
    return used


def _use(grant: FileGrant, touch: _Touch, seen: Seen) -> Use:
    parts = touch.path.relative_to(grant.at).parts[:_MOST_DEPTH]
    if ".." in touch.path.parts:
        parts = ()  # no plain path: it may be anything in the grant
    need = touch.need if grant.access == "write" or touch.need != "write" else "read"
    return Use(parts=parts, need=need, seen=seen)


def _touches(seen: Seen) -> Iterator[_Touch]:
    """Give the places that an event needs: where it led to, and by which name it went there."""
    event = seen.event
    if isinstance(event, NetworkEvent) and event.family == "unix" and event.outcome == "allowed":
        is_made = event.action == "bind"
        yield from _places([event.address], "write" if is_made else "read", is_made=is_made)
    if not isinstance(event, FileEvent) or event.outcome not in {"allowed", "failed"}:
        return
    is_made = event.access in {"create", "rename", "link", "remove"}
    is_written = is_made or event.access in {"write", "change"}
    if event.outcome == "failed":
        need: Need = "look"
    elif is_written:
        need = "write"
    else:
        need = "look" if event.access == "look" else "read"
    ends = [event.path, event.to] if event.access in {"rename", "link"} else [event.path]
    yield from _places(ends, need, is_made=is_made and need == "write")
    yield from _places([event.named], "look", is_made=is_made)


def _places(paths: Iterable[str], need: Need, *, is_made: bool) -> Iterator[_Touch]:
    """Give places for paths; for what was made or removed the folder that they are in together.

    A rename from one mount to another fails, so both its ends need one grant.
    """
    found = [PurePosixPath(path) for path in paths if path.startswith("/")]
    if is_made and found:
        folders = [path.parent for path in found]
        # where no grant has both, this last one is in none, and each is in one of its own
        found = [*folders, PurePosixPath(os.path.commonpath(folders))]
    yield from (_Touch(path=path, need=need) for path in found)


# The fewest places


def _fewest(needs: set[Parts]) -> set[Parts]:
    """Cover all needs by few places, none of them made up or unprintable."""
    if () in needs:
        return {()}
    below: dict[str, set[Parts]] = {}
    for name, *rest in needs:
        below.setdefault(name, set()).add(tuple(rest))
    if any(is_made_up(name) or not _is_certain(name) for name in below):
        return {()}
    places = {(name, *rest) for name, needed in below.items() for rest in _fewest(needed)}
    return places if len(places) <= FEW else {()}


def _is_certain(name: str) -> bool:
    """Tell whether a name is what it says: one with a backslash or "?" may have been made so."""
    return name.isprintable() and not {*name} & {"\\", "?", "\N{REPLACEMENT CHARACTER}"}


def _without_ways(uses: Iterable[Use], written: set[Parts]) -> set[Parts]:
    """Give what was used without the folders that were only looked at on the way to more."""
    uses = list(uses)
    every = {use.parts for use in uses} | written
    ways = {parts[:depth] for parts in every for depth in range(len(parts))}
    return {use.parts for use in uses if use.need != "look" or use.parts not in ways}


def _is_below(parts: Parts, places: set[Parts]) -> bool:
    return any(parts[:depth] in places for depth in range(len(parts) + 1))


def _without_links(grant: FileGrant, use: Use) -> Use:
    """Go up until nothing on the way below the grant is a link, and it may be granted at all."""
    parts = use.parts
    while parts and not _is_grantable(grant, parts):
        parts = parts[:-1]
    return Use(parts=parts, need=use.need, seen=use.seen)


def _is_grantable(grant: FileGrant, parts: Parts) -> bool:
    try:
        narrowed = _grant(grant, parts, "a try", is_written=False)
    except ValidationError:
        return False
    wanted = Path(os.path.realpath(grant.path), *parts)
    return Path(os.path.realpath(narrowed.path)) == wanted


# What covers what


def _covers(cover: FileGrant, grants: dict[str, FileGrant]) -> bool:
    """Tell whether a grant of the base lies in one that is kept, and hides a part of it."""
    place = PurePosixPath(cover.at)
    return any(at != cover.at and place.is_relative_to(at) for at in grants)


def _is_of(grant: FileGrant, cover: FileGrant, base: Policy) -> bool:
    """Tell whether a narrowed grant was made of this one, not of another that lies in it."""
    place = PurePosixPath(grant.at)
    inside = [each.at for each in base.files if place.is_relative_to(each.at)]
    return bool(inside) and max(inside, key=len) == cover.at


def _access(grant: FileGrant, used: list[Use]) -> Literal["read", "write"]:
    is_written = any(use.need == "write" for use in used)
    return "write" if is_written and grant.access == "write" else "read"


def _reason_of_cover(used: list[Use]) -> str:
    return _reason(used) if used else "it covers a part of another grant"


def outside_of(grants: Iterable[FileGrant], base: Policy) -> tuple[str, ...]:
    """Name the grants that are at or below none of the base's, or may write where it may not.

    is_narrower() knows only grants that are the very same: a folder below could be a link. Here
    no link was on the way when it was looked.
    """
    return tuple(
        plain(grant.at)
        for grant in grants
        if not any(_is_at_or_below(grant, each) for each in base.files)
    )


def _is_at_or_below(grant: FileGrant, base: FileGrant) -> bool:
    if not PurePosixPath(grant.at).is_relative_to(base.at):
        return False
    rest = PurePosixPath(grant.at).relative_to(base.at)
    same_file = PurePosixPath(base.path) / rest == PurePosixPath(grant.path)
    return same_file and (grant.access == "read" or base.access == "write")

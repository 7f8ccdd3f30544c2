"""What a rule may look for in programs that stand beside each other: a pipeline."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from sandbox.record import ProgramEvent
from sandbox.review.globs import TextGlobs
from sandbox.review.matches import Match
from sandbox.review.view import Hit, RunView, base_name
from sandbox.review.words import describe

__all__ = ["PipedMatch"]


class PipedMatch(Match):
    """A program that reads code from where another writes: children of one process, by a pipe.

    Which pipe is whose is not seen: it is who was started beside whom, at about the same time.
    """

    kind: Literal["piped"]
    sources: TextGlobs
    """Of the first one's name and all arguments, with one space between."""
    sinks: TextGlobs
    """Of the second one's, likewise."""
    within_seconds: Annotated[float, Field(gt=0)]

    def hits(self, view: RunView) -> Iterator[Hit]:
        """Give each second one with its first."""
        started = list(view.each(ProgramEvent))
        sources = [event for _, event in started if self.sources.fits(_command(event))]
        for place, event in started:
            if not self.sinks.fits(_command(event)):
                continue
            beside = (each for each in sources if self._is_beside(view, each, event))
            if first := next(beside, None):
                yield Hit(place, f"{describe(first)}; beside it, {describe(event)}")

    def _is_beside(self, view: RunView, one: ProgramEvent, other: ProgramEvent) -> bool:
        parents = {view.parent_of(one.process), view.parent_of(other.process)}
        is_near = abs(one.at - other.at) <= self.within_seconds
        return (
            one.process != other.process and len(parents - {None}) == len(parents) == 1 and is_near
        )


def _command(event: ProgramEvent) -> str:
    return " ".join((base_name(event.path), *event.argv[1:]))

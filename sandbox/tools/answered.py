"""What became of the calls of one turn: for the model, for the user, and for the record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from sandbox.errors import Started
from sandbox.providers import encode_answers
from sandbox.providers.envelope import Answer, Provider, ToolCall, Turn
from sandbox.result import Result
from sandbox.tools.hooks import Fate
from sandbox.wire import Json, LeftOpen

__all__ = ["Answered", "Called", "Transaction"]

Transaction: TypeAlias = Literal["none", "not_started", "committed", "rolled_back", "unknown"]
"""What became of the resources of a call.

none: the tool has none. not_started: none was opened. committed: all were closed without an
exception. rolled_back: all were closed with one. unknown: it was killed before, or they differ.
"""


@dataclass(frozen=True, kw_only=True)
class Called:
    """One call and its end. started: whether any code of the tool ran. Times in seconds.

    fate: the verdict of the run, or why there was none. result: the full record of the run, None
    where none ran. It holds what the answer leaves out: secrets, paths, traceback. files: name to
    content, the whole of what was cut in the answer. user_message: one sentence for the person
    whom the model serves, "" where all went well.

    A call that comes again has the fate "duplicate" and the answer of the first; result is None.
    """

    call: ToolCall
    answer: Answer
    fate: Fate
    first_fate: Fate | None = None
    """How the first ended, of a call that comes again. None: it is not known, or this is it."""
    result: Result | None = None
    started: Started = "no"
    transaction: Transaction = "none"
    resources: Mapping[str, str] = field(default_factory=dict[str, str])
    """Each resource by its name: committed, rolled_back or unknown."""
    user_message: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    queued_seconds: float = 0.0
    ran_seconds: float = 0.0

    @property
    def left_open(self) -> LeftOpen | None:
        """What the handler left open, as its guest counted it; all of it is gone. None: unknown."""
        notes = self.result.notes if self.result else ()
        return next((note for note in notes if isinstance(note, LeftOpen)), None)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A turn of a model with every call in it answered, in the order in which it asked."""

    turn: Turn
    calls: tuple[Called, ...]

    @property
    def provider(self) -> Provider:
        """The format of the messages."""
        return self.turn.provider

    @property
    def answers(self) -> tuple[Answer, ...]:
        """What the model is told, before it takes a provider's format."""
        return tuple(called.answer for called in self.calls)

    @property
    def results(self) -> tuple[Result | None, ...]:
        """The full record of each call, None for one that did not run."""
        return tuple(called.result for called in self.calls)

    @property
    def user_message(self) -> str:
        """What to tell the user, a line for each call that did not go well; "" if all did."""
        return "\n".join(filter(None, (called.user_message for called in self.calls)))

    @property
    def request(self) -> Mapping[str, Json]:
        """Members that the next request needs beside its messages: Anthropic's `container`."""
        return self.turn.request

    @property
    def messages(self) -> list[Json]:
        """The model's own message and the answers to it: extend the conversation by them."""
        return [*self.turn.history, *self.outputs]

    @property
    def outputs(self) -> list[Json]:
        """The answers alone, for a conversation that has the model's own message already."""
        return list(encode_answers(self.turn, self.answers)) if self.calls else []

    @property
    def items(self) -> list[Json]:
        """The same, as OpenAI's Responses call it."""
        return self.messages

    @property
    def content(self) -> list[Json]:
        """The same, as Gemini calls it."""
        return self.messages

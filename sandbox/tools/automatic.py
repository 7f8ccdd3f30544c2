"""Automatic calling: ask the model, run what it calls, answer, until it is done; any provider."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from sandbox.errors import BadCall
from sandbox.providers.envelope import ToolCall, Turn
from sandbox.tools.answered import Answered
from sandbox.tools.approval import Approve
from sandbox.tools.clients import Api, Client, Heard, OnText, client_of
from sandbox.tools.context import Context
from sandbox.tools.dispatch import OnProgress
from sandbox.tools.gemini_config import GeminiSettings, config_with_tools, settings_of
from sandbox.tools.spoken import CUT_OFF, PAUSED, user_message
from sandbox.tools.toolset import Toolset

__all__ = ["Reply", "Stop", "StoppedBecause", "run_automatic", "run_automatic_sync"]

MOST_REQUESTS: Final = 10
ANTHROPIC_MOST_TOKENS: Final = 4096

StoppedBecause: TypeAlias = Literal["finished", "maximum_calls", "disabled", "stop", "cut_off"]
"""Why the loop ended.

finished: the model made no further call. maximum_calls: the last request that was allowed still
gave calls. disabled: there were calls, and none was to be run. stop: the caller's own condition.
cut_off: the response reached its length limit, so its calls may lack a part and were not run.
"""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a conversation.

    text: the model's last words. messages: what was given and all that followed, in the provider's
    format, to be sent on as it is; a turn whose calls were not run is not in it, but in `pending`.
    calls: those that were answered, in order. answered: each turn of them, with its results.
    requests: how many times the model was asked. reason: why its last response ended, in the
    provider's own word. response: the SDK's last response, None after a stream.
    """

    text: str
    messages: list[Any]
    calls: tuple[ToolCall, ...]
    answered: tuple[Answered, ...]
    stopped_because: StoppedBecause
    requests: int
    reason: str = ""
    pending: Turn | None = None
    """The calls that were not run: `await tools.answer(reply.pending)` runs them.

    After "cut_off" look at them first: the last may lack some of its arguments.
    """
    response: object = None


Stop: TypeAlias = Callable[[Reply], bool]
"""Asked after each turn of calls, with what is so far: True ends the loop."""


async def run_automatic(  # noqa: PLR0913 - each is an option of its own, by keyword
    client: object,
    messages: Any,
    *,
    tools: Toolset,
    model: str,
    api: Api | None = None,
    maximum_calls: int | None = None,
    disable: bool = False,
    stream: bool = False,
    strict: bool = True,
    built_in: Sequence[Any] = (),
    approve: Approve | None = None,
    stop: Stop | None = None,
    on_text: OnText | None = None,
    on_progress: OnProgress | None = None,
    context: Context | None = None,
    wall_seconds: float | None = None,
    **request: Any,
) -> Reply:
    """Talk with a model until it makes no further call, running its calls with `tools`.

    client: of openai, anthropic or google-genai, sync (asked in a thread) or async. messages: in
    the provider's format, or one text; not changed. api: "openai-chat" or "gemini-interactions"
    where the client has a newer or a plainer one. maximum_calls: most requests to the model, 10 by
    default; as in Gemini's own loop, the calls of the last one are not run. disable:
    ask once, run nothing. stream: ask for events. strict: hold the model to the schemas. built_in:
    tools of the provider's own. approve: decides on tools with needs_approval; without it none of
    them runs. stop: asked after each turn of calls; the place to save what a later failure must
    not lose. on_text: called with the model's words as they come. on_progress, context,
    wall_seconds (of each turn): as for Toolset.answer(). request: whatever else the client takes;
    Gemini's `config` with its settings of automatic calling is honoured, and Anthropic's
    max_tokens is 4096 unless given.

    Raises BadCall for a client that cannot be asked, and what the client raises, unchanged.
    """
    plan = _Plan(tools, model, api, disable, maximum_calls, strict, built_in, stop, context)
    answering = _answering(context, approve, on_progress, wall_seconds)
    talk = _Talk(client, messages, plan, request)
    while talk.goes_on:
        heard = await talk.client.ask(talk.request(), on_text, stream=stream)
        if talk.hear(heard):
            talk.take(await tools.answer(heard.turn, **answering))
    return talk.reply()


def run_automatic_sync(  # noqa: PLR0913 - ditto
    client: object,
    messages: Any,
    *,
    tools: Toolset,
    model: str,
    api: Api | None = None,
    maximum_calls: int | None = None,
    disable: bool = False,
    stream: bool = False,
    strict: bool = True,
    built_in: Sequence[Any] = (),
    approve: Approve | None = None,
    stop: Stop | None = None,
    on_text: OnText | None = None,
    on_progress: OnProgress | None = None,
    context: Context | None = None,
    wall_seconds: float | None = None,
    **request: Any,
) -> Reply:
    """Do what run_automatic() does, and wait for it; the client is a sync one, asked here.

    approve and on_progress are called in the toolset's thread.
    """
    plan = _Plan(tools, model, api, disable, maximum_calls, strict, built_in, stop, context)
    answering = _answering(context, approve, on_progress, wall_seconds)
    talk = _Talk(client, messages, plan, request)
    if talk.client.is_async:
        message = f"{type(client).__name__} is an async client: use run_automatic()"
        raise BadCall(message)
    while talk.goes_on:
        heard = talk.client.ask_sync(talk.request(), on_text, stream=stream)
        if talk.hear(heard):
            talk.take(tools.answer_sync(heard.turn, **answering))
    return talk.reply()


def _answering(
    context: Context | None,
    approve: Approve | None,
    on_progress: OnProgress | None,
    wall_seconds: float | None,
) -> dict[str, Any]:
    """Give the arguments that both faces of a toolset's answer() take."""
    return {
        "context": context,
        "approve": approve,
        "on_progress": on_progress,
        "wall_seconds": wall_seconds,
    }


@dataclass(frozen=True)
class _Plan:
    """How far a conversation goes, and with which tools."""

    tools: Toolset
    model: str
    api: Api | None
    disable: bool
    maximum_calls: int | None
    strict: bool
    built_in: Sequence[Any]
    stop: Stop | None
    context: Context | None


class _Talk:
    """A conversation as it grows; it neither waits nor runs anything."""

    def __init__(
        self, client: object, messages: Any, plan: _Plan, request: Mapping[str, Any]
    ) -> None:
        """Raise BadCall for what cannot be asked."""
        self.client = client_of(client, plan.api)
        self._settings = _settings(self.client, plan, request)
        self._fixed = _fixed_request(self.client, plan, request)
        self._plan = plan
        self._left = self._settings.maximum_calls or MOST_REQUESTS
        self._messages = _as_messages(self.client.api, messages)
        self._kept = [*self._messages]
        self._answered: list[Answered] = []
        self._requests = 0
        self._heard: Heard | None = None
        self._is_pending = False
        self._stopped: StoppedBecause | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the model is to be asked once more."""
        return self._stopped is None

    def request(self) -> dict[str, Any]:
        """Give the arguments of the next request."""
        messages = {self.client.messages_key: [*self._messages]}
        if self._heard is None:
            return {**self._fixed, **messages}
        return {**self._fixed, **self._heard.turn.request, **messages}

    def hear(self, heard: Heard) -> bool:
        """Take a response in; say whether its calls are to be answered now."""
        self._heard = heard
        self._requests += 1
        self._stopped = self._why_stop(heard)
        is_answered_now = bool(heard.turn.calls) and self._stopped is None
        self._is_pending = bool(heard.turn.calls) and not is_answered_now
        if not heard.turn.calls:
            self._extend(heard.turn.history)
        return is_answered_now

    def _why_stop(self, heard: Heard) -> StoppedBecause | None:
        if heard.reason in CUT_OFF:
            return "cut_off"
        if not heard.turn.calls and heard.reason not in PAUSED:
            return "finished"
        if self._settings.disable and heard.turn.calls:
            return "disabled"
        return "maximum_calls" if self._requests >= self._left else None

    def take(self, answered: Answered) -> None:
        """Take the answers to the last response in."""
        self._answered.append(answered)
        new = answered.messages
        self._messages += new
        if not self._settings.ignore_history:
            self._kept += new
        if self._plan.stop and self._plan.stop(self.reply("stop")):
            self._stopped = "stop"

    def _extend(self, history: Sequence[Any]) -> None:
        self._messages += history
        self._kept += history

    def reply(self, stopped_because: StoppedBecause | None = None) -> Reply:
        """Give what is so far."""
        heard = cast("Heard", self._heard)
        return Reply(
            text=heard.text,
            messages=[*self._kept],
            calls=tuple(call for answered in self._answered for call in answered.turn.calls),
            answered=tuple(self._answered),
            stopped_because=stopped_because or self._stopped or "stop",
            requests=self._requests,
            reason=heard.reason,
            pending=heard.turn if self._is_pending else None,
            response=heard.response,
        )


def _settings(client: Client, plan: _Plan, request: Mapping[str, Any]) -> GeminiSettings:
    """Join what is asked for here with what Gemini's config says: the narrower holds."""
    if plan.maximum_calls is not None and plan.maximum_calls < 1:
        message = f"maximum_calls={plan.maximum_calls}: give at least 1, or disable=True"
        raise BadCall(message)
    said = settings_of(request.get("config") if client.api == "gemini" else None)
    given = [each for each in (plan.maximum_calls, said.maximum_calls) if each is not None]
    return GeminiSettings(
        disable=plan.disable or said.disable,
        maximum_calls=min(given, default=None),
        ignore_history=said.ignore_history,
    )


def _fixed_request(client: Client, plan: _Plan, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is the same in every request. Raises BadCall for what we say ourselves."""
    ours = {client.messages_key, "tools", "stream"} & request.keys()
    if "conversation" in request:
        ours.add("conversation")  # the provider would keep a second history beside ours
    if ours:
        message = f"{min(ours)!r} cannot be given here: the loop keeps the conversation itself"
        raise BadCall(message)
    defined = plan.tools.definitions(client.api, strict=plan.strict, context=plan.context)
    tools = [*defined, *plan.built_in]
    if client.api == "gemini":
        config = config_with_tools(request.get("config"), tools)
        return {**request, "model": plan.model, "config": config}
    defaults = {"max_tokens": ANTHROPIC_MOST_TOKENS} if client.api == "anthropic" else {}
    return {**defaults, **request, "model": plan.model, **({"tools": tools} if tools else {})}


def _as_messages(api: Api, messages: Any) -> list[Any]:
    """Give a conversation as a list of its messages, whatever was given."""
    if isinstance(messages, str):
        return [user_message(api, messages)]
    return [*messages] if isinstance(messages, list | tuple) else [messages]

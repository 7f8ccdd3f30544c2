"""One call of a model, from what it asked to its answer: exactly one, whatever happens."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, cast

import anyio

from sandbox.errors import BadCall, BudgetSpent, SandboxError, Started
from sandbox.providers.envelope import Provider, ToolCall
from sandbox.tools import answers
from sandbox.tools.answered import Called
from sandbox.tools.approval import Approve, refusal_of
from sandbox.tools.arguments import Checked, Refusal, check_arguments
from sandbox.tools.audit import redacted
from sandbox.tools.capture import Cutter
from sandbox.tools.catalogue import Catalogue
from sandbox.tools.context import Context
from sandbox.tools.execution import Execution, Places
from sandbox.tools.hooks import Asked, Ended, Hooks
from sandbox.tools.ledger import Finished, Known, Ledger, key_of
from sandbox.tools.records import from_record, to_record
from sandbox.tools.telemetry import current_traceparent
from sandbox.tools.telling import Teller
from sandbox.tools.tool import Tool
from sandbox.wire import Json

__all__ = ["Equipment", "OnProgress", "OneCall", "Turning"]

_LOG: Final = logging.getLogger(__name__)

_TOO_DEEP: Final = "(arguments nested too deep to be shown)"

OnProgress: TypeAlias = Callable[[ToolCall, Json], None]
"""Called with each value that a call gives before its end, as it comes, in the event loop."""


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """What a toolset has for every call."""

    catalogue: Catalogue
    hooks: Hooks
    ledger: Ledger | None
    cutter: Cutter


@dataclass(frozen=True, kw_only=True)
class Turning:
    """What all calls of one turn have in common."""

    provider: Provider
    context: Context
    approve: Approve | None = None
    on_progress: OnProgress | None = None


class OneCall:
    """One call. answered() gives its answer, and raises only when it is cancelled."""

    def __init__(
        self, call: ToolCall, turning: Turning, equipment: Equipment, places: Places
    ) -> None:
        """Look the tool up; run nothing."""
        self._call, self._turning, self._places = call, turning, places
        self._equipment, self._context = equipment, turning.context
        self._tool = equipment.catalogue.find(call)
        self._name = self._tool.name if self._tool else call.name
        self._teller = Teller(call, equipment.cutter, turning.context.secrets.values())
        self._asked: Asked | None = None
        self._key = ""
        self._is_begun = False
        self._started: Started = "no"
        self._queued_seconds = 0.0
        self._fault: BaseException | None = None

    @property
    def is_sequential(self) -> bool:
        """Whether it waits for the calls before it that say so too."""
        return self._tool is not None and self._tool.sequential

    async def answered(self) -> Called:
        """Answer the call; the ledger and the hooks are told its end, once."""
        try:
            called = await self._answer()
        except Exception as fault:  # noqa: BLE001 - every call has an answer; it is logged
            _LOG.exception("a call could not be answered by its tool", extra=self._fields())
            called = self._end(self._faulty(fault))
        except BaseException:
            # Cancelled: nobody waits for the answer, but it ran, and that must be known.
            said = answers.interrupted(self._name, self._started)
            await self._finish(self._end(self._teller.refusal("cancelled", said, self._started)))
            raise
        called = replace(called, queued_seconds=self._queued_seconds)
        await self._finish(called)
        return called

    # What may end it before it runs, in order

    async def _answer(self) -> Called:
        tool = self._tool
        if tool is None or not tool.is_usable(self._context):
            return self._not_there(tool)
        checked = check_arguments(tool.signature, self._call.arguments)
        if isinstance(checked, Refusal):
            said = answers.bad_arguments(self._name, checked.message)
            return self._teller.refusal("bad_arguments", said)
        self._asked = self._ask(checked.given, tool)
        self._key = self._make_key(checked, tool)
        async with AsyncExitStack() as exits:
            if self._key:
                await exits.enter_async_context(self._places.alone(self._key))
            return self._known() or await self._answer_in_place(tool, checked)

    def _not_there(self, tool: Tool | None) -> Called:
        names = self._equipment.catalogue.names(self._context)
        if tool is None:
            shown = f"{self._call.namespace}.{self._name}" if self._call.namespace else self._name
            return self._teller.refusal("unknown_tool", answers.unknown_tool(shown, names))
        if missing := tool.missing(self._context):
            said = answers.not_permitted(self._name, missing, names)
            return self._teller.refusal("not_permitted", said)
        return self._teller.refusal("disabled", answers.disabled(self._name, names))

    def _known(self) -> Called | None:
        """Answer a call that was started before: as then, or that nobody knows its end."""
        known: Known | None = None
        if self._key and self._equipment.ledger:
            known = self._equipment.ledger.find(self._key)
        if known is None:
            return None
        if isinstance(known, Finished):
            return from_record(known.record, self._call)
        return self._repeated()

    def _repeated(self) -> Called:
        return self._teller.refusal("duplicate", answers.repeated(self._name), "unknown")

    async def _answer_in_place(self, tool: Tool, checked: Checked) -> Called:
        """Wait for an approval and a place, as long as the turn has time."""
        refused = await self._refusal_of_approval(tool)
        if refused:
            return refused
        begun = time.monotonic()
        async with self._places.place(self._context.remaining()) as has_place:
            self._queued_seconds = time.monotonic() - begun
            if not has_place or self._context.remaining() <= 0:
                return self._teller.refusal("timeout", answers.late(self._name))
            reason = await self._equipment.hooks.before(self._the_asked)
            if reason is not None:
                return self._teller.refusal("refused", answers.refused(self._name, reason))
            return await self._run(tool, checked)

    async def _refusal_of_approval(self, tool: Tool) -> Called | None:
        if not tool.needs_approval:
            return None
        with anyio.move_on_after(self._context.remaining()):
            reason = await refusal_of(self._turning.approve, self._the_asked)
            if reason is None:
                return None
            return self._teller.refusal("not_approved", answers.not_approved(self._name, reason))
        return self._teller.refusal("timeout", answers.late(self._name))

    # The run

    async def _run(self, tool: Tool, checked: Checked) -> Called:
        if self._key and self._equipment.ledger:
            if not self._equipment.ledger.begin(self._key):
                return self._repeated()  # another program was faster
            self._is_begun = True
        wall_seconds = min(tool.policy.quota.wall_seconds, self._context.remaining())
        context = self._context.narrow(wall_seconds=wall_seconds)
        traceparent = current_traceparent() or context.traceparent
        self._started = "unknown"
        result = await self._places.run(
            Execution(
                tool=tool,
                checked=checked,
                context=replace(context, traceparent=traceparent),
                on_partial=self._take_partial,
                wall_seconds=wall_seconds,
            )
        )
        self._started = "yes"
        return self._end(self._teller.result(tool, result))

    def _take_partial(self, value: Json) -> None:
        """Hand progress on; a callback that fails is the application's fault, not the call's."""
        if self._turning.on_progress is None:
            return
        try:
            shown = redacted(value, self._context.secrets.values())
            self._turning.on_progress(self._call, shown)
        except Exception:  # noqa: BLE001 - ditto
            _LOG.exception("on_progress failed", extra=self._fields())

    # Its end

    def _faulty(self, fault: Exception) -> Called:
        self._fault = fault
        if isinstance(fault, SandboxError) and self._started == "unknown":
            self._started = fault.started
        said = answers.faulty(self._name, self._started)
        if isinstance(fault, BudgetSpent):
            said = answers.spent(self._name)
        elif isinstance(fault, BadCall) and self._started == "no":
            said = answers.cannot_run(self._name)
        return self._teller.refusal("fault", said, self._started)

    def _end(self, called: Called) -> Called:
        """Write into the ledger how a call ended that was begun there."""
        ledger, self._is_begun = self._equipment.ledger if self._is_begun else None, False
        if ledger is None:
            return called
        try:
            if self._started == "no":
                ledger.forget(self._key)
            else:
                ledger.finish(self._key, to_record(called))
        except SandboxError:  # it ran, and its answer is true; without this it is "unknown" later
            _LOG.exception("the end of a call is not in the ledger", extra=self._fields())
        return called

    async def _finish(self, called: Called) -> None:
        ended = Ended(
            answer=called.answer,
            fate=called.fate,
            result=called.result,
            fault=self._fault,
            started=called.started,
            queued_seconds=self._queued_seconds,
            ran_seconds=called.ran_seconds,
        )
        await self._equipment.hooks.finish(self._the_asked, ended)

    @property
    def _the_asked(self) -> Asked:
        """The one object that hooks see for this call."""
        if self._asked is None:
            try:
                self._asked = self._ask(_parsed(self._call.arguments), self._tool)
            except RecursionError:  # nested so deep that they cannot be copied
                self._asked = self._ask(_TOO_DEEP, self._tool)
        return self._asked

    def _ask(self, arguments: Mapping[str, Json] | str, tool: Tool | None) -> Asked:
        return Asked(
            provider=self._turning.provider,
            call=self._call,
            tool=self._name,
            arguments=arguments,
            context=self._context,
            policy=tool.policy.fingerprint if tool else "",
            where=tool.where if tool else "guest",
        )

    def _make_key(self, checked: Checked, tool: Tool) -> str:
        """Give the key of this call; "" where it has no id to know it by again."""
        if not self._call.id or tool.idempotency is None or self._equipment.ledger is None:
            return ""
        given, user = dict(checked.given), self._context.user
        return key_of(self._turning.provider, user, self._call.id, tool.name, given)

    def _fields(self) -> dict[str, str]:
        return {"call": self._call.id, "tool": self._name}


def _parsed(arguments: Mapping[str, Json] | str) -> Mapping[str, Json] | str:
    """Give refused arguments as an object where they are one."""
    if not isinstance(arguments, str):
        return arguments
    try:
        value: object = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return cast("dict[str, Json]", value) if isinstance(value, dict) else arguments

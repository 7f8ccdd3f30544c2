"""The words of answers: what a model can act on, and what its user is told instead."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from sandbox.errors import Started
from sandbox.policy import Policy
from sandbox.result import Result, Status
from sandbox.wire import printable

__all__ = [
    "STILL_RUNNING",
    "Said",
    "bad_arguments",
    "cannot_run",
    "disabled",
    "faulty",
    "how_far",
    "interrupted",
    "late",
    "not_approved",
    "not_permitted",
    "outcome_of",
    "refused",
    "repeated",
    "spent",
    "unknown_tool",
    "unsuccessful",
]

MOST_NAMES: Final = 50
MOST_NAME_CHARACTERS: Final = 64
MOST_MESSAGE_CHARACTERS: Final = 4000
STILL_RUNNING: Final = "StillRunning"
"""The error's type of a call that nobody waits for and nothing could stop."""


@dataclass(frozen=True)
class Said:
    """One thing, told twice."""

    model: str
    user: str


_STARTED: Final[dict[Started, str]] = {
    "no": "Nothing of it was run.",
    "yes": "It had been started, so it may have had some effect.",
    "unknown": "Whether it was run is not known.",
}
_ENDINGS: Final = {
    "committed": "What it did with {} is committed.",
    "rolled_back": "What it did with {} was rolled back.",
    "unknown": "What became of {} is not known.",
}
_OVER: Final[Mapping[Status, tuple[str, str]]] = {
    "cpu_limit": ("cpu_seconds", "processor time than its limit of {} seconds"),
    "memory_limit": ("memory_bytes", "memory than its limit of {} bytes"),
    "process_limit": ("processes", "processes and threads than its limit of {}"),
    "output_limit": ("output_bytes", "printed output than its limit of {} bytes"),
    "disk_limit": ("disk_bytes", "disk than its limit of {} bytes"),
}


def unknown_tool(name: str, names: Collection[str]) -> Said:
    """There is no such tool: say which there are, the nearest first."""
    shown = _shown(name)
    near = get_close_matches(name[:MOST_NAME_CHARACTERS], names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    model = f"There is no tool {shown!r}.{hint} {_listed(names)}"
    return Said(model, "The assistant asked for a tool that does not exist.")


def disabled(name: str, names: Collection[str]) -> Said:
    """The tool is there, and switched off."""
    return Said(
        f"The tool {name} is switched off: do without it. {_listed(names)}",
        f"{name} is switched off at the moment.",
    )


def not_permitted(name: str, missing: Collection[str], names: Collection[str]) -> Said:
    """The caller may not use the tool."""
    lacking = ", ".join(sorted(missing))
    return Said(
        f"The tool {name} was not run: its caller lacks the permission {lacking}. {_listed(names)}",
        f"You are not allowed to use {name}: it needs the permission {lacking}.",
    )


def bad_arguments(name: str, reason: str) -> Said:
    """The arguments do not fit; the reason says which and how."""
    return Said(reason, f"The assistant called {name} in a way that does not work.")


def refused(name: str, reason: str) -> Said:
    """Somebody who may decide has decided against the call."""
    return Said(f"{name} was not run: {reason}", f"{name} was not run: {reason}")


def not_approved(name: str, reason: str) -> Said:
    """Nobody said yes to the call; the reason is for the model."""
    return Said(f"{name} was not run: {reason}", f"{name} was not run: it was not approved.")


def repeated(name: str) -> Said:
    """The call was started before, and nobody knows its end."""
    return Said(
        f"This call of {name} was started before, and how it ended is not known: the program that "
        "ran it may have stopped, or run it still. It was not run again. Find out whether it had "
        "its effect before you call it anew.",
        f"{name} was interrupted earlier, and whether it took effect is not known.",
    )


def spent(name: str) -> Said:
    """Say that a tool has used up what it may spend in all."""
    return Said(
        f"{name} was not run: it has spent all that it may use. Do without it.",
        f"{name} was not run: it has used up what it may use in all.",
    )


def faulty(name: str, started: Started) -> Said:
    """The engine, a hook or an approval failed; its words may name the host's own, and stay."""
    return Said(
        f"{name} could not be run to its end: the engine that runs tools failed, not the tool. "
        f"{_STARTED[started]}",
        f"{name} did not work: something failed on our side.",
    )


def cannot_run(name: str) -> Said:
    """The call cannot be sent to where it runs; the reason is the program's own, and logged."""
    return Said(
        f"{name} cannot be run as it is set up: do without it. {_STARTED['no']}",
        f"{name} did not work: it is set up wrongly on our side.",
    )


def late(name: str) -> Said:
    """The time of the turn was over before the call could start."""
    return Said(
        f"{name} was not started: the time for this turn was over before its place came. "
        f"{_STARTED['no']}",
        f"There was no time left for {name}.",
    )


def interrupted(name: str, started: Started) -> Said:
    """The turn was cancelled from outside."""
    return Said(
        f"{name} was stopped because the turn was cancelled. {_STARTED[started]}",
        f"{name} was stopped.",
    )


def unsuccessful(name: str, result: Result, policy: Policy) -> Said:
    """Tell a run that did not end well, by its verdict."""
    if result.status == "timeout":
        return _timeout(name, result)
    if result.status in _OVER:
        return _over_quota(name, result, policy)
    if result.status == "error":
        return Said(f"{name} {_raised(result)}", f"{name} failed.")
    if result.status == "invalid":
        model = f"{name} ran, but its result cannot be used: {_reason(result)}"
        return Said(model, f"{name} gave no usable result.")
    return Said(f"{name} ended without a result: {_reason(result)}", f"{name} failed.")


def _timeout(name: str, result: Result) -> Said:
    """The deadline is the engine's; a TimeoutError of the tool's own is an error like others."""
    after = f"{result.usage.wall_seconds:.3g} s"
    if result.error and result.error.type == STILL_RUNNING:
        return Said(
            f"{name} had not ended by its deadline, and after {after} nobody waits for it any "
            "more. It could not be stopped: it may go on, and have its effect later.",
            f"{name} took too long. It could not be stopped and may still be at work.",
        )
    return Said(
        f"{name} was stopped by the engine after {after}: it had not ended by its deadline.",
        f"{name} took too long and was stopped.",
    )


def _over_quota(name: str, result: Result, policy: Policy) -> Said:
    quota, what = _OVER[result.status]
    more = what.format(getattr(policy.quota, quota))
    return Said(
        f"{name} was stopped by the engine: it needed more {more}.",
        f"{name} needed more than it is allowed and was stopped.",
    )


def how_far(given: int, shown: int) -> str:
    """Say how far a call got, by the values that it gave before it failed; "" if it gave none."""
    if not given:
        return ""
    values = "one value" if given == 1 else f"{given} values"
    which = "" if shown == given else f"; the last {shown} of them are here"
    return f"It had given {values} before that{which}."


def outcome_of(resources: Mapping[str, str]) -> str:
    """Say what became of each resource."""
    return " ".join(_ENDINGS[state].format(name) for name, state in resources.items())


def _raised(result: Result) -> str:
    error = result.error
    if error is None or error.type == "NoAnswer":
        return "ended without an answer."
    message = error.message[:MOST_MESSAGE_CHARACTERS]
    return f"raised {error.type}: {_ended(message)}" if message else f"raised {error.type}."


def _reason(result: Result) -> str:
    return _ended(result.error.message[:MOST_MESSAGE_CHARACTERS] if result.error else result.status)


def _ended(text: str) -> str:
    """End a text like a sentence, for another may follow it."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _listed(names: Collection[str]) -> str:
    if not names:
        return "There are no tools that you can call."
    shown = sorted(names)[:MOST_NAMES]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"The tools are: {', '.join(shown)}{more}."


def _shown(name: str) -> str:
    """Give a name of the model's own making, bounded."""
    is_long = len(name) > MOST_NAME_CHARACTERS
    return printable(name[:MOST_NAME_CHARACTERS]) + ("..." if is_long else "")

"""Gemini's own settings of automatic calling, honoured where its objects or dicts are passed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sandbox.errors import BadCall
from sandbox.wire import Json

__all__ = ["GeminiSettings", "config_with_tools", "settings_of"]

_AUTOMATIC: Final = "automatic_function_calling"
_DROPPED: Final = frozenset({"tools", _AUTOMATIC, "automaticFunctionCalling"})


@dataclass(frozen=True, kw_only=True)
class GeminiSettings:
    """What an AutomaticFunctionCallingConfig says. maximum_calls: None where it says nothing."""

    disable: bool = False
    maximum_calls: int | None = None
    ignore_history: bool = False


def settings_of(config: object) -> GeminiSettings:
    """Read the settings of a GenerateContentConfig, object or dict, as the SDK means them.

    As there, a maximum of zero or less switches automatic calling off.
    """
    automatic = _member(config, _AUTOMATIC)
    maximum = _member(automatic, "maximum_remote_calls")
    is_off = maximum is not None and int(maximum) <= 0
    return GeminiSettings(
        disable=bool(_member(automatic, "disable")) or is_off,
        maximum_calls=None if maximum is None or is_off else int(maximum),
        ignore_history=bool(_member(automatic, "ignore_call_history")),
    )


def config_with_tools(config: object, tools: Sequence[Json]) -> object:
    """Give a copy of the config with these tools after its own, and the SDK's loop switched off.

    Raises BadCall for a config with Python functions: the SDK would run them in this process.
    """
    own = list(cast("Sequence[Any]", _member(config, "tools") or ()))
    if any(callable(tool) for tool in own):
        message = "the config's tools have Python functions: add them to the Toolset instead"
        raise BadCall(message)
    changes: dict[str, Any] = {"tools": [*own, *tools], _AUTOMATIC: {"disable": True}}
    if not changes["tools"]:
        del changes["tools"]
    if config is None or isinstance(config, Mapping):
        given = cast("Mapping[str, Any]", config or {})
        return {key: each for key, each in given.items() if key not in _DROPPED} | changes
    model = cast("Any", type(config))
    kept = cast("set[str]", cast("Any", config).model_fields_set) - _DROPPED
    return cast(
        "object", model.model_validate({key: getattr(config, key) for key in kept} | changes)
    )


def _member(given: object, name: str) -> Any:
    """Give a member of an object, or of a dict in either spelling; None where there is none."""
    if isinstance(given, Mapping):
        members = cast("Mapping[str, Any]", given)
        first, *others = name.split("_")
        return members.get(name, members.get(first + "".join(map(str.capitalize, others))))
    return getattr(given, name, None)

"""From the result of a run to what a model is told: checked, redacted, cut, and kept whole."""

import json
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from sandbox.providers.envelope import Data, Part, Text
from sandbox.result import ErrorInfo, Result
from sandbox.tools.audit import redacted
from sandbox.tools.signature import Signature
from sandbox.wire import Json

__all__ = ["GUEST_FOLDERS", "Captured", "Cutter", "checked_return", "without_host_paths"]

_LOG: Final = logging.getLogger(__name__)
GUEST_FOLDERS: Final = ("/box/", "/tmp/", "/dev/shm/")  # noqa: S108 - the guest's own
_PATH: Final = re.compile(r"(?<![\w.:/~-])(?:/[\w.@+~-]+)+/?")


@dataclass(frozen=True, kw_only=True)
class Captured:
    """What goes into an answer. files: name to content, the whole of what was cut."""

    parts: tuple[Part, ...]
    partial: tuple[Json, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def checked_return(result: Result, signature: Signature) -> Result:
    """Validate an ok value against the function's return annotation, and give it re-serialised.

    A value that does not fit makes the verdict "invalid": what the annotation says is what comes.
    """
    if not result.ok or result.parts or signature.returns is None:
        return result
    try:
        returned = signature.returns.validate_json(json.dumps(result.value))
        value: Json = signature.returns.dump_python(returned, mode="json", by_alias=True)
    except ValidationError as error:
        return _invalid(result, _fault(error))
    except Exception as error:  # noqa: BLE001 - a validator of the annotation's may raise anything
        return _invalid(result, f"its own check raised {type(error).__name__}")
    return result.model_copy(update={"value": value})


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"it does not fit the return annotation: {f'{place}: ' if place else ''}{first['msg']}"


def _invalid(result: Result, reason: str) -> Result:
    error = ErrorInfo(type="InvalidReturn", message=reason)
    return result.model_copy(update={"status": "invalid", "value": None, "error": error})


def without_host_paths(text: str, sent: str, own: tuple[str, ...] = GUEST_FOLDERS) -> str:
    """Shorten each absolute path to its last part, as ".../name".

    Left whole: what the model itself sent (`sent`), and what is in the handler's own folders.
    """

    def shortened(found: re.Match[str]) -> str:
        path = found[0]
        is_known = path in sent or path.startswith(own) or path.count("/") < 2
        return path if is_known else f".../{path.rstrip('/').rpartition('/')[2]}"

    return _PATH.sub(shortened, text)


@dataclass(frozen=True, kw_only=True)
class Cutter:
    """Keeps what a model is told within a number of characters, and secrets out of it.

    most_characters: of all texts and values of one answer together. folder: where the whole of
    what was cut is written too; None writes nothing.
    """

    most_characters: int = 20_000
    folder: Path | None = None

    def capture(
        self, name: str, parts: Iterable[Part], partial: Iterable[Json], hidden: Iterable[str]
    ) -> Captured:
        """Redact and cut the parts of an answer and the values given before it failed.

        name: of the tool. hidden: the secrets. What is no text, as a picture, is not looked into.
        """
        hidden = tuple(hidden)
        kept, files = _Budget(name, self.most_characters), dict[str, bytes]()
        cut = tuple(kept.part(_redacted(part, hidden), files) for part in parts)
        values = [redacted(value, hidden) for value in partial]
        for file, content in files.items():
            self._write(file, content)
        return Captured(parts=cut, partial=_last(values, self.most_characters), files=files)

    def _write(self, file: str, content: bytes) -> None:
        if self.folder is None:
            return
        try:
            with (self.folder / file).open("xb") as whole:
                whole.write(content)
        except OSError:  # the call ran, and its record has the whole too
            _LOG.exception("the whole of a cut answer cannot be written", extra={"file": file})


class _Budget:
    """How many characters an answer has left, and the names of files of what is over."""

    def __init__(self, tool: str, characters: int) -> None:
        self._tool = tool
        self._left = characters

    def part(self, part: Part, files: dict[str, bytes]) -> Part:
        if not isinstance(part, Text | Data):
            return part
        text = part.text if isinstance(part, Text) else _json(part.value)
        if len(text) <= self._left:
            self._left -= len(text)
            return part
        name = self._name("txt" if isinstance(part, Text) else "json")
        files[name] = text.encode(errors="surrogatepass")
        shown, self._left = self._left, 0
        return Text(_head_and_tail(text, shown, name))

    def _name(self, ending: str) -> str:
        return f"{self._tool}-{secrets.token_hex(4)}.{ending}"


def _head_and_tail(text: str, characters: int, name: str) -> str:
    tail = characters // 2
    head = characters - tail
    left_out = len(text) - characters
    middle = f"[... {left_out} of {len(text)} characters left out; the whole is in {name} ...]"
    return f"{text[:head]}\n{middle}\n{text[len(text) - tail :]}"


def _redacted(part: Part, hidden: tuple[str, ...]) -> Part:
    if isinstance(part, Text):
        return Text(str(redacted(part.text, hidden)))
    return Data(redacted(part.value, hidden)) if isinstance(part, Data) else part


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _last(values: list[Json], characters: int) -> tuple[Json, ...]:
    """Give the last values that fit; the newest tells best how far a call got."""
    kept: list[Json] = []
    for value in reversed(values):
        characters -= len(_json(value)) + 1
        if characters < 0:
            break
        kept.append(value)
    return tuple(reversed(kept))

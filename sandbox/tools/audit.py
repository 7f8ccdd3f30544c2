"""The audit log: who called what, with which arguments, under which policy, and how it ended.

JSON lines, each with the SHA-256 of the line before it, so that changing, removing or inserting a
line breaks the chain after it. FILE.head beside it names the last line, so that a cut end is seen
too. What this does not cover: whoever may write both files can write both anew. Note a head
elsewhere (`sandbox audit verify` prints it) and check against it: that much cannot be rewritten.
"""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, cast

from anyio import to_thread

from sandbox.tools.audit_chain import append_record
from sandbox.tools.hooks import Asked, Ended, Hook
from sandbox.wire import Json

__all__ = ["SECRET_NAMES", "AuditLog", "redacted"]

SECRET_NAMES: Final = frozenset(
    {"api_key", "apikey", "authorization", "password", "passwd", "private_key", "secret", "token"}
)
"""Arguments that are never written, at any depth, in whatever case."""

MOST_CHARACTERS: Final = 16_384
MOST_DEPTH: Final = 64
HIDDEN: Final = "[redacted]"


class AuditLog(Hook):
    """Writes every call into one file: `Toolset(hooks=[AuditLog("audit.jsonl")])`.

    A call that runs has two lines, "started" before and "ended" after it; one without an "ended"
    was cut short. A call that is refused has the latter only. When "started" cannot be written,
    the call is not run. Several processes may write one file. path: the file; its folder exists.
    fsync: wait until each line is on the disk, some milliseconds; False by default. redact: names
    of arguments never to be written, besides SECRET_NAMES; every secret of the context is replaced
    wherever it stands.
    """

    def __init__(
        self, path: str | Path, *, fsync: bool = False, redact: Iterable[str] = ()
    ) -> None:
        """Keep the settings. Nothing is opened before the first call."""
        self._path = Path(path).absolute()
        self._fsync = fsync
        self._names = SECRET_NAMES | {name.lower() for name in redact}

    async def before(self, asked: Asked) -> None:
        """Write that a call starts. Raises OSError or EngineFault: then it is not run."""
        await self._write("started", asked, {})

    async def after(self, asked: Asked, ended: Ended) -> None:
        """Write how a call ended."""
        await self._write("ended", asked, _how(ended))

    async def _write(self, event: str, asked: Asked, how: Mapping[str, Json]) -> None:
        foreign: dict[str, Json] = {
            "call": asked.call.id,
            "tool": asked.tool,
            "arguments": _written(asked.arguments, self._names),
            **how,
        }
        secrets = tuple(asked.context.secrets.values())
        record = {
            "time": datetime.now(UTC).isoformat(),
            "event": event,
            **_who(asked),
            **{key: _bounded(redacted(value, secrets)) for key, value in foreign.items()},
        }
        # In a thread: the disk and the other writers may take their time.
        await to_thread.run_sync(partial(append_record, self._path, record, fsync=self._fsync))


def redacted(value: Json, secrets: Iterable[str]) -> Json:
    """Give a JSON value with every secret in its texts and keys replaced by "[redacted]".

    A secret is also found as JSON or repr() would write it. Not found: parts of it, and it in
    other encodings, such as base64.
    """
    written = {form for secret in secrets for form in _forms(secret) if form}
    longest_first = sorted(written, key=len, reverse=True)
    return _replaced(value, longest_first) if written else value


def _forms(secret: str) -> tuple[str, ...]:
    return (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    )


def _replaced(value: Json, secrets: list[str]) -> Json:
    match value:
        case str():
            for secret in secrets:
                value = value.replace(secret, HIDDEN)
            return value
        case int() | float() if any(secret == str(value) for secret in secrets):
            return HIDDEN
        case list():
            return [_replaced(each, secrets) for each in value]
        case dict():
            pairs = ((str(_replaced(key, secrets)), each) for key, each in value.items())
            return {key: _replaced(each, secrets) for key, each in pairs}
        case _:
            return value


def _written(value: object, names: frozenset[str], depth: int = 0) -> Json:
    """Give arguments as they are written down: without those of these names, also deep inside."""
    if depth > MOST_DEPTH:
        return "[nested too deep]"
    match value:
        case Mapping():
            members = cast("Mapping[str, object]", value)
            return {
                key: HIDDEN if key.lower() in names else _written(each, names, depth + 1)
                for key, each in members.items()
            }
        case list():
            return [_written(each, names, depth + 1) for each in cast("list[object]", value)]
        case str() if depth == 0:  # no JSON, so nobody knows which part of it is a password
            return f"[{len(value)} characters that are not JSON]"
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return cast("Json", value)


def _bounded(value: Json) -> Json:
    """Give a value, or the beginning of its text if that is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= MOST_CHARACTERS:
        return value
    return {"characters": len(text), "beginning": text[:MOST_CHARACTERS]}


def _who(asked: Asked) -> dict[str, Json]:
    return {
        "user": asked.context.user,
        "request_id": asked.context.request_id,
        "traceparent": asked.context.traceparent,
        "provider": asked.provider,
        "policy": asked.policy,
        "where": asked.where,
    }


def _how(ended: Ended) -> dict[str, Json]:
    how: dict[str, Json] = {
        "fate": ended.fate,
        "is_error": ended.answer.is_error,
        "started": ended.started,
        "queued_seconds": round(ended.queued_seconds, 6),
        "ran_seconds": round(ended.ran_seconds, 6),
    }
    if ended.fault is not None:
        how["fault"] = f"{type(ended.fault).__name__}: {ended.fault}"
    if ended.result is not None and ended.result.error is not None:
        how["error"] = f"{ended.result.error.type}: {ended.result.error.message}"
    return how

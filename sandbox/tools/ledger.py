"""The ledger: which calls of a model have been started and how they ended, so none runs twice."""

import hashlib
import json
import os
import sqlite3
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from sandbox.errors import EngineFault
from sandbox.wire import Json

__all__ = ["Finished", "Ledger", "Unfinished", "key_of"]

MEMORY: Final = ":memory:"
BUSY_SECONDS: Final = 5.0
SWEEP_EVERY: Final = 1000
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, record TEXT
)"""


@dataclass(frozen=True)
class Finished:
    """A call that ran and ended. record: what was kept of it."""

    record: Json


@dataclass(frozen=True)
class Unfinished:
    """A call that was started and whose end nobody wrote: its program died, or still runs it."""


Known: TypeAlias = Finished | Unfinished


def key_of(*what: Json) -> str:
    """Give the key of a call from all that tells it from others, as a digest."""
    text = json.dumps(what, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Ledger:
    """Calls by their key, in SQLite.

    path: a file, which several processes may share, or ":memory:" (the default) for this object
    alone. It holds answers, so only its owner may read it. A program that dies loses nothing of
    it; a machine that loses power may lose the last moment. most_calls: how many ended calls are
    kept, the newest; 10,000 by default. Every method raises EngineFault when SQLite fails.
    """

    def __init__(self, path: str | Path = MEMORY, *, most_calls: int = 10_000) -> None:
        """Open it. Raises EngineFault when it cannot be."""
        self._path = str(path)
        self._most_calls = most_calls
        self._since_sweep = 0
        # Both faces of a toolset, async and blocking, write here.
        self._lock = threading.Lock()
        try:
            self._rows = self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._fault(error) from error
        weakref.finalize(self, self._rows.close)

    def _open(self) -> sqlite3.Connection:
        if self._path != MEMORY:
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        rows = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = NORMAL")
        rows.execute(_TABLE)
        return rows

    def find(self, key: str) -> Known | None:
        """Give what is known of a call, None if it was never started."""
        found = self._do("SELECT record FROM calls WHERE key = ?", key).fetchone()
        if found is None:
            return None
        return Unfinished() if found[0] is None else Finished(json.loads(found[0]))

    def begin(self, key: str) -> bool:
        """Write that a call starts; False if it is there already, also by another process."""
        return self._do("INSERT OR IGNORE INTO calls (key) VALUES (?)", key).rowcount == 1

    def finish(self, key: str, record: Json) -> None:
        """Write how it ended."""
        self._do("UPDATE calls SET record = ? WHERE key = ?", json.dumps(record), key)
        self._since_sweep += 1
        if self._since_sweep >= min(SWEEP_EVERY, self._most_calls):
            self._sweep()

    def forget(self, key: str) -> None:
        """Take back begin(): no code of the call ran, so it may be tried again."""
        self._do("DELETE FROM calls WHERE key = ?", key)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._lock:
            self._rows.close()

    def _sweep(self) -> None:
        """Drop ended calls over the number; what has no end stays, because it must not run."""
        self._since_sweep = 0
        self._do(
            "DELETE FROM calls WHERE record IS NOT NULL"
            " AND number <= (SELECT max(number) FROM calls) - ?",
            self._most_calls,
        )

    def _do(self, statement: str, *given: object) -> sqlite3.Cursor:
        try:
            with self._lock:
                return self._rows.execute(statement, given)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> EngineFault:
        return EngineFault(f"the ledger {self._path} cannot be used: {error}")

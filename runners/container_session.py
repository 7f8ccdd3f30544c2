"""PID 1 of a session's container: hands turns on, tells what each used, and holds its times.

A session rests between its turns. It ends with its main process, which PID 1 kills when it has
rested or lived for too long, or when a turn does not end when it is interrupted.
"""

import errno
import signal
import time

import container
import gather
import link as wire

INTERRUPT_SECONDS = 0.5  # as in sandbox/backends/session_turns.py


class Session(container.Call):
    """A session, from the payload that makes a guest one to the death of its last process."""

    _is_interrupted = False
    _is_resting = True
    _lives_until = 0.0

    def _hand_over(self, payload: bytes) -> None:
        """Make the guest a session's, which turns follow."""
        self._lives_until = self._kill_at
        self._pipes.write(self._payload, payload, is_last=False)
        self._pipes.write(self._stdin, b"", is_last=True)
        self._rest()

    def _obey(self, kind: int, body: bytes) -> None:
        if kind == wire.TURN:
            self._begin_turn()
        elif kind == wire.PAYLOAD:
            self._pipes.write(self._payload, body, is_last=False)
        elif kind == wire.INTERRUPT:
            self._signal(signal.SIGINT)
        elif kind == wire.REST:
            self._end_turn()
        elif kind == wire.FILES:
            self._give_files()
            self._link.send(wire.SHOWN)
        elif kind == wire.FILE_NAMED:
            self._give_file(body)
            self._link.send(wire.SHOWN)
        else:
            super()._obey(kind, body)

    def _begin_turn(self) -> None:
        self._counters.count_from_now()
        self._stopped_by, self._is_interrupted, self._is_resting = None, False, False
        self._reached.clear()
        self._live_for(self._configuration["turn_seconds"])
        self._schedule_look(0.0)

    def _end_turn(self) -> None:
        """The host has an answer: what was written before it goes first, then what was used."""
        self._pipes.pass_on_what_is_there()
        self._tell()
        self._rest()

    def _hand_back(self) -> None:
        """Give nothing: while it lived it was asked for its files."""

    def _rest(self) -> None:
        self._is_resting, self._next_look = True, float("inf")
        self._live_for(self._configuration["quota"]["idle_seconds"])

    def _schedule_look(self, used_cpu_seconds: float) -> None:
        if not self._is_resting:
            super()._schedule_look(used_cpu_seconds)

    def _live_for(self, seconds: float) -> None:
        if not self._is_ending:
            self._kill_at = min(time.monotonic() + seconds, self._lives_until)
            self._end_after(self._kill_at)

    def _stop(self, limit: str) -> None:
        """End the turn for a limit: for time it alone, where that can be, else all."""
        if limit != "cpu":
            super()._stop(limit)
        elif not self._is_interrupted:
            self._is_interrupted = True
            self._stopped_by = self._stopped_by or limit
            self._signal(signal.SIGINT)
            self._kill_at = min(time.monotonic() + INTERRUPT_SECONDS, self._kill_at)

    def _give_file(self, path: bytes) -> None:
        """Give one file in pieces, or say why not by the number of an error."""
        most_bytes = self._configuration["quota"]["disk_bytes"]
        try:
            with gather.open_named(container.WORK_FOLDER, path, most_bytes) as file:
                while most_bytes > 0 and (piece := file.read(min(most_bytes, wire.CHUNK_BYTES))):
                    self._link.send(wire.PIECE, piece)
                    most_bytes -= len(piece)
        except OSError as fault:
            self._leave_out(b"", str(fault.errno or errno.EIO).encode())

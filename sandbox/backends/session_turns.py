"""The turns of a session, of whichever kind its guest is: asked, held to their time, given up.

What a session says is a claim, as with every guest; what the host sees is its death, its counters
and its clock. A turn over its time is interrupted, and goes alone if the program lets it; else all
goes.
"""

import secrets
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Final, TypeAlias

import anyio

from sandbox.backends.base import Limit, OnOutput, Sighting
from sandbox.backends.live_guest import LiveGuest
from sandbox.backends.payload import encode_turn
from sandbox.backends.waiting import under_way
from sandbox.call import Call, Command
from sandbox.errors import SessionLost
from sandbox.wire import MainExited, MainSignaled, NoAnswer, Returned

__all__ = ["ENDED", "INTERRUPT_SECONDS", "EncodeTurn", "SessionTurns"]

INTERRUPT_SECONDS: Final = 0.5
"""How long a program has to answer an interrupt before all of its session is killed."""
TOKEN_BYTES: Final = 8
ENDED: Final = "it ended while it waited: its time was up, or it was killed"

EncodeTurn: TypeAlias = Callable[[str], bytes]
"""Writes a turn with the token that its answer begins with: a late one is not the next turn's."""


class SessionTurns(LiveGuest):
    """A guest that answers turn() after turn() until close(). A kind of guest stands beside it."""

    _interrupted_at = 0.0
    _lives_until = 0.0
    _why_lost = ""
    _is_closed = False

    @cached_property
    def _turns(self) -> anyio.Lock:
        """One at a time."""
        return anyio.Lock(fast_acquire=True)

    @property
    @abstractmethod
    def _is_gone(self) -> bool:
        """Whether its process has ended, or was killed."""

    @abstractmethod
    def _hear(self) -> None:
        """Take what has come."""

    @abstractmethod
    def _send_turn(self, body: bytes) -> None:
        """Hand a turn over, and count what is used from here."""

    @abstractmethod
    def _send_interrupt(self) -> None:
        """Send it SIGINT."""

    @abstractmethod
    async def _hear_the_rest(self) -> None:
        """Take all that was written before the answer, and what the turn used."""

    @abstractmethod
    async def _end_all(self) -> None:
        """Kill what is left, and wait for the last death."""

    @abstractmethod
    def _turn_sighting(self, *, lives_on: bool) -> Sighting:
        """Say what was seen of a turn."""

    @abstractmethod
    def _rest_now(self) -> None:
        """Let it wait for its next turn, for as long as it may."""

    @abstractmethod
    async def _close(self) -> None:
        """Give everything back, once it is killed and no turn runs."""

    async def turn(self, call: Call, on_output: OnOutput | None) -> Sighting:
        """Run one call in it. Raises SessionLost if it is gone, EngineFault.

        A caller that is cancelled interrupts the turn; what does not answer that is killed.
        """
        seen = await self._ask(partial(encode_turn, call, self._quota), on_output)
        if seen.lives_on and isinstance(call, Command) and isinstance(seen.claim, Returned):
            return _as_of_a_command(seen, seen.claim)
        return seen

    async def _ask(self, encode: EncodeTurn, on_output: OnOutput | None) -> Sighting:
        """Hand a turn over and see it through."""
        async with self._turns:
            return await self._see_through(encode, on_output)

    async def _see_through(self, encode: EncodeTurn, on_output: OnOutput | None) -> Sighting:
        self._check_lives()
        self._begin(encode, on_output)
        try:
            with under_way():
                await self._wait_closely()
                while not (self._heard.is_answered or self.is_over):
                    await self._step(self._next_moment())
                    self._keep_time()
        except BaseException:
            await self._give_up_turn()
            raise
        return await self._end_turn()

    def _check_lives(self) -> None:
        """Raise SessionLost for a session that is gone, or that spoke unasked."""
        if self._why_lost:
            raise SessionLost(self._why_lost)
        self._hear()
        if self._is_gone:
            self._lose(ENDED)
        elif self._heard.is_answered:
            self._lose("it answered what nobody had asked")
        if self._why_lost:
            self._kill()
            raise SessionLost(self._why_lost)

    def _check_readable(self) -> None:
        """Raise SessionLost likewise; while a turn runs its answer is the turn's to take."""
        if not self._turns.locked():
            self._check_lives()
        elif self._why_lost:
            raise SessionLost(self._why_lost)

    def _lose(self, reason: str) -> None:
        self._why_lost = self._why_lost or f"the session is lost: {reason}: open another"

    def _begin(self, encode: EncodeTurn, on_output: OnOutput | None) -> None:
        self._heard.on_output = on_output
        self._asked_at = time.monotonic()
        self._ended_at = self._interrupted_at = 0.0
        self._stopped_by = None
        self._heard.token = token = secrets.token_hex(TOKEN_BYTES)
        self._send_turn(encode(token))

    def _deadline(self) -> float:
        if self._interrupted_at:
            return self._interrupted_at + INTERRUPT_SECONDS
        return min(self._asked_at + self._quota.wall_seconds, self._lives_until)

    def _stop_for_time(self) -> None:
        self._interrupt("wall")

    def _interrupt(self, limit: Limit | None) -> None:
        """Interrupt the turn, and a moment later kill what did not answer."""
        self._stopped_by = self._stopped_by or limit
        if not self._interrupted_at:
            self._interrupted_at = time.monotonic()
            self._send_interrupt()
        elif time.monotonic() >= self._deadline():
            self._kill()

    async def _give_up_turn(self) -> None:
        """End a turn whose caller went: it alone, if it answers soon enough."""
        self._heard.hush()
        with anyio.CancelScope(shield=True):
            self._interrupt(None)
            with suppress(Exception), anyio.move_on_after(INTERRUPT_SECONDS):
                while not (self._heard.is_answered or self.is_over):
                    await self._step(self._deadline())
            if self._is_answered_well:
                await self._hear_the_rest()
                self._rest_now()
                return
            self._lose("a turn was given up and did not end")
            self._kill()

    @property
    def _is_answered_well(self) -> bool:
        return self._heard.is_answered and not self._heard.is_broken and not self.is_over

    async def _end_turn(self) -> Sighting:
        """Say what was seen of a turn; without an answer to it nothing of the session is left."""
        answered_at = time.monotonic()
        if self._is_answered_well:
            await self._hear_the_rest()
        lives_on = self._is_answered_well and not self._is_gone and answered_at < self._lives_until
        if lives_on:
            self._ended_at = answered_at
        else:
            self._lose("its last turn took it along")
            await self._end_all()
        seen = self._turn_sighting(lives_on=lives_on)
        self._rest_now()
        return seen

    async def close(self) -> None:
        """Kill it and its branches, wait until the last process is dead, give everything back."""
        if self._is_closed:
            return
        self._is_closed = True
        self._lose("it was closed")
        self._kill()
        with anyio.CancelScope(shield=True):
            async with self._turns:  # a turn that runs ends with it, and leaves the pipes alone
                await self._close()


def _as_of_a_command(seen: Sighting, claim: Returned) -> Sighting:
    """Take the end of a command's process from the session, whose child it was."""
    code = claim.value
    if not isinstance(code, int) or not -64 <= code <= 255:
        return replace(seen, claim=NoAnswer("the end of a command is no exit code"))
    ended = MainExited(code) if code >= 0 else MainSignaled(-code)
    return replace(seen, claim=NoAnswer("it was a command"), ended=ended)

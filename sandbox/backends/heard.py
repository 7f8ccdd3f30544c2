"""What one guest says while it runs: output, partial values, answer. All of it is claims."""

from typing import Final

from sandbox.backends.base import OnOutput, OnPartial, Stream
from sandbox.policy import Quota
from sandbox.wire import (
    Body,
    Claim,
    FrameReader,
    Json,
    NoAnswer,
    Note,
    OutputBuffer,
    Returned,
    ReturnedParts,
    Unfit,
    parse_answer,
    parse_notes,
    parse_partials,
)

__all__ = ["Heard"]

ANSWER_SLACK_BYTES: Final = 1 << 18
"""Room for an error's text beside quota.result_bytes."""
EVIDENCE_BYTES: Final = 8 << 20
"""Room for what a watched program's Python says that it does."""


class Heard:
    """Takes what comes, within the bounds of a quota, and passes it on to those who listen."""

    def __init__(self, quota: Quota, *, is_watched: bool = False) -> None:
        """Start with nothing heard, and nobody listening. is_watched: its Python gives evidence."""
        self._quota = quota
        self.on_output: OnOutput | None = None
        self.on_partial: OnPartial | None = None
        self.token = ""
        """What a session's answer begins with: one that comes late is not the next turn's."""
        self.stdout = OutputBuffer(quota.output_bytes)
        self.stderr = OutputBuffer(quota.output_bytes)
        # Once for the answer and once for the partial values: neither takes the other's room.
        limit_bytes = 2 * max(quota.result_bytes, 1024) + ANSWER_SLACK_BYTES
        self._frames = FrameReader(
            limit_bytes + (EVIDENCE_BYTES if is_watched else 0), takes_evidence=is_watched
        )
        self._partial: list[Json] = []
        self._claim: Claim | None = None

    def take_output(self, stream: Stream, chunk: bytes) -> None:
        """Keep output and pass it on."""
        buffer = self.stdout if stream == "stdout" else self.stderr
        buffer.append(chunk)
        if self.on_output:
            self.on_output(stream, chunk)

    @property
    def is_over(self) -> bool:
        """Whether more output came than the quota gives."""
        return self.stdout.total + self.stderr.total > self._quota.output_bytes

    @property
    def is_answered(self) -> bool:
        """Whether an answer came, or what can be none."""
        return self._frames.answer is not None or self._frames.broken is not None

    @property
    def is_broken(self) -> bool:
        """Whether what came can be no answer."""
        answer = self._frames.answer
        is_of_this_turn = answer is None or answer.startswith(self.token.encode())
        return self._frames.broken is not None or not is_of_this_turn

    def take_answer(self, chunk: bytes) -> None:
        """Take bytes of the answer's pipe; pass each partial value on as it comes."""
        self._frames.feed(chunk)
        for value in parse_partials(self._frames, depth=self._quota.result_depth):
            self._partial.append(value)
            if self.on_partial:
                self.on_partial(value)
        if self._frames.answer is not None and self._claim is None:
            self._claim = self._parse()  # now, while the guest is on its way out

    def hush(self) -> None:
        """Tell nobody any more."""
        self.on_output = self.on_partial = None

    def end(self) -> None:
        """Say that nothing more can come."""
        self._frames.close()

    @property
    def partial(self) -> tuple[Json, ...]:
        """The values given before the end."""
        return tuple(self._partial)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the runner said about the handler."""
        return parse_notes(self._frames)

    @property
    def evidence(self) -> tuple[Body, ...]:
        """What a watched program's Python says that it does; wire_record.py reads it."""
        return tuple(self._frames.evidence)

    def claim(self) -> Claim:
        """Read what the guest claims; its own side keeps to the quota, so what is over it lies."""
        if self.is_broken and self._frames.answer is not None:
            return NoAnswer("the answer is not this turn's")
        return self._claim if self._claim and not self._frames.broken else self._parse()

    def _parse(self) -> Claim:
        claim = parse_answer(
            self._frames, depth=self._quota.result_depth, skip_bytes=len(self.token)
        )
        size_bytes = len(self._frames.answer or b"")
        if isinstance(claim, Returned | ReturnedParts) and size_bytes > self._quota.result_bytes:
            return Unfit(f"the value is {size_bytes} bytes of JSON: over quota.result_bytes")
        return claim

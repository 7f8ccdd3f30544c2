"""Feed mutated frames to the parser of answers: nothing but a claim may come out.

Run it as ``python -m tests.benchmarks.fuzz_frames [COUNT]``; COUNT is 1,000,000 by default.
The seed is fixed, so a finding can be had again: its number and its bytes are printed. The exit
status is 1 when something was raised, was no claim, or was kept over the limit.
"""

import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sandbox.wire import (
    ANSWER,
    NOTE,
    PARTIAL,
    FrameReader,
    NoAnswer,
    Raised,
    Returned,
    ReturnedParts,
    Unfit,
    encode_frame,
    parse_answer,
    parse_notes,
    parse_partials,
)

LIMIT_BYTES: Final = 600
DEPTH: Final = 8
SEED: Final = 20240229
REPORTED_FINDINGS: Final = 5

VALID: Final = (
    encode_frame(ANSWER, b'{"value": {"a": [1, -2.5e3, "x\\ud83d\\ude00"], "b": {"c": null}}}'),
    encode_frame(ANSWER, b'{"raised": {"type": "E", "message": "m\\n", "traceback": "t"}}'),
    encode_frame(ANSWER, b'{"unfit": "a set is not JSON"}'),
    encode_frame(
        ANSWER,
        b'{"parts": [{"type": "text", "text": "x"}, {"type": "image", "data": "AAEC", '
        b'"media_type": "image/png"}]}',
    ),
    encode_frame(NOTE, b'{"resource": "db", "state": "opened", "number": 0}')
    + encode_frame(ANSWER, b'{"value": 1}'),
    encode_frame(ANSWER, b'{"value": ' + b"[" * DEPTH + b"true" + b"]" * DEPTH + b"}"),
    encode_frame(PARTIAL, b"[1]") + encode_frame(ANSWER, b'{"value": "\xc3\xa9\\\\"}'),
    encode_frame(PARTIAL, b'{"step": 1}') * 3 + encode_frame(ANSWER, b'{"value": 0}'),
)
TOKENS: Final = (
    b"NaN", b"-Infinity", b"1e999", b'"\\ud800"', b"\xff", b"\xed\xa0\x80", b'"', b"\\", b"[" * 50,
    b'{"a":' * 20, b"]", b"}", b'"value": 1,', b'{"value":', b"\0", b"9" * 100, b",", b"\\u0000",
)  # fmt: skip

Mutation = Callable[[random.Random, bytearray], None]


def flip_bits(dice: random.Random, stream: bytearray) -> None:
    for _ in range(dice.randint(1, 4)):
        stream[dice.randrange(len(stream))] ^= 1 << dice.randrange(8)


def truncate(dice: random.Random, stream: bytearray) -> None:
    del stream[dice.randrange(1, len(stream) + 1) :]


def splice(dice: random.Random, stream: bytearray) -> None:
    """Put a piece of another stream over a piece of this one."""
    donor = dice.choice(VALID)
    start, donated = dice.randrange(len(stream)), dice.randrange(len(donor))
    stream[start : start + dice.randrange(20)] = donor[donated : donated + dice.randrange(1, 40)]


def plant_token(dice: random.Random, stream: bytearray) -> None:
    """Put something that JSON or UTF-8 minds into a body, and mend the length for it."""
    token = dice.choice(TOKENS)
    place = dice.randrange(len(stream))
    stream[place:place] = token
    if dice.random() < 0.8:
        stream[:4] = struct.pack(">I", max(0, len(stream) - 5))


def lie_about_length(dice: random.Random, stream: bytearray) -> None:
    lengths = (0, 1, len(stream), LIMIT_BYTES, LIMIT_BYTES + 1, 2**31, 2**32 - 1)
    stream[:4] = struct.pack(">I", dice.choice(lengths))


def repeat(dice: random.Random, stream: bytearray) -> None:
    stream += stream[: dice.randint(1, len(stream))]


def leave(_dice: random.Random, _stream: bytearray) -> None:
    """Change nothing, so that the right answers are seen to come through too."""


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bits, truncate, splice, plant_token, plant_token, lie_about_length, repeat, leave,
)  # fmt: skip


def mutated(dice: random.Random) -> bytes:
    """Make one stream of bytes out of a valid one."""
    stream = bytearray(dice.choice(VALID))
    for _ in range(dice.choice((1, 1, 2, 3))):
        if stream:
            dice.choice(MUTATIONS)(dice, stream)
    return bytes(stream)


def is_claim(thing: object) -> bool:
    """Say at run time what the types already promise."""
    return isinstance(thing, Returned | ReturnedParts | Raised | Unfit | NoAnswer)


def outcome_of(stream: bytes, cut: int) -> str:
    """Name the claim that came out; AssertionError when it is none or too much was kept."""
    reader = FrameReader(LIMIT_BYTES)
    reader.feed(stream[:cut])
    reader.feed(stream[cut:])
    reader.close()
    kept_bytes = sum(map(len, (*reader.partials, *reader.notes, reader.answer or b"")))
    parse_partials(reader, depth=DEPTH)
    parse_notes(reader)
    claim = parse_answer(reader, depth=DEPTH)
    if not is_claim(claim) or kept_bytes > LIMIT_BYTES:
        message = f"{type(claim).__name__} came out, {kept_bytes} bytes were kept"
        raise AssertionError(message)
    return type(claim).__name__


def fuzz(count: int) -> tuple[Counter[str], list[str]]:
    """Try `count` streams; give how often each claim came, and what went wrong."""
    dice = random.Random(SEED)  # noqa: S311 - it must come again the same
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    for number in range(count):
        stream = mutated(dice)
        try:
            outcomes[outcome_of(stream, dice.randrange(len(stream) + 1))] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            outcomes["finding"] += 1
            if len(findings) < REPORTED_FINDINGS:
                findings.append(f"stream {number}: {stream!r}: {error!r}")
    return outcomes, findings


def main(arguments: list[str]) -> int:
    """Fuzz, report, and say by the exit status whether the parser held."""
    count = int(arguments[0]) if arguments else 1_000_000
    started = time.perf_counter()
    outcomes, findings = fuzz(count)
    seconds = time.perf_counter() - started
    told = ", ".join(f"{name} {times:,}" for name, times in sorted(outcomes.items()))
    report = [f"{count:,} mutated streams in {seconds:.1f} s ({count / seconds:,.0f} a second)"]
    sys.stdout.write("\n".join([*report, told, *findings]) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

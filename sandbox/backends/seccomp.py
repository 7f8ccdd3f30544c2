"""Compile the system-call lists of policies/seccomp into a filter for seccomp(2)."""

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from sandbox.backends.seccomp_lists import (
    ALLOW,
    CallList,
    Condition,
    Entry,
    Unwatched,
    call_numbers,
    merge,
    read_unwatched,
)
from sandbox.errors import CannotEnforce, EngineFault

__all__ = ["THIS_MACHINE", "compile_filter", "compile_watching_filter"]

THIS_MACHINE = os.uname().machine
INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS of linux/bpf_common.h: seccomp(2) takes no longer program."""

# linux/audit.h: the architecture that the kernel puts beside each call's number.
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# asm/unistd.h: x32 calls come with the architecture of x86_64 and this bit in their number.
X32_BIT = 0x40000000

# linux/seccomp.h: further verdicts, and struct seccomp_data, which the program reads.
KILL_PROCESS = 0x80000000
NOTIFY = 0x7FC00000
NUMBER_OFFSET = 0
ARCH_OFFSET = 4
ARGUMENTS_OFFSET = 16

# linux/bpf_common.h: class, size and mode of an instruction, put together.
LOAD_WORD = 0x20
AND = 0x54
JUMP = 0x05
JUMP_IF_EQUAL = 0x15
JUMP_IF_AT_LEAST = 0x35
RETURN = 0x06
SHORT_JUMP_MAX = 255

HALF = 32
HALF_BITS = 0xFFFFFFFF

_Outcomes = Mapping[int, "_Outcome"]


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What becomes of one number: the first case whose conditions all hold, or else ``code``."""

    code: int
    cases: tuple[tuple[tuple[Condition, ...], int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Range:
    start: int
    outcome: _Outcome


def compile_filter(documents: Sequence[str] = ("guest",), machine: str = THIS_MACHINE) -> bytes:
    """Give the filter of these documents: an array of struct sock_filter, ready for seccomp(2).

    documents: names in policies/seccomp; the first holds the default, later ones override.
    machine: as uname(2) calls it. The result is kept, so a second call costs nothing.
    Calls by another architecture, and x32 calls, kill the process with SIGSYS.
    Raises CannotEnforce for a machine without a table of numbers, EngineFault for a broken list.
    """
    return _compile(tuple(documents), machine, is_watching=False)


def compile_watching_filter(
    documents: Sequence[str] = ("guest",), machine: str = THIS_MACHINE
) -> bytes:
    """Give the same filter for a watched guest: who watches it is asked, seccomp_unotify(2).

    What compile_filter() refuses, the watcher is to refuse; what it allows is let on, seen by the
    watcher, or unseen where unwatched.json names it. Raises as compile_filter() does.
    """
    return _compile(tuple(documents), machine, is_watching=True)


@cache
def _compile(documents: tuple[str, ...], machine: str, *, is_watching: bool) -> bytes:
    numbers = call_numbers()
    if machine not in numbers or machine not in AUDIT_ARCH:
        message = f"no system-call numbers for machine {machine}: use {' or '.join(AUDIT_ARCH)}"
        raise CannotEnforce(message)
    merged = merge(documents)
    default = _Outcome(code=merged.default.code)
    outcomes: _Outcomes = _outcomes(merged, numbers[machine])
    if is_watching:
        outcomes = _watched(outcomes, numbers[machine])
        default = replace(default, code=NOTIFY)
    program = _guard(machine) + _tree(list(_ranges(outcomes, default)))
    if len(program) > INSTRUCTIONS_MAX:
        message = f"{documents}: {len(program)} instructions, the kernel takes {INSTRUCTIONS_MAX}"
        raise EngineFault(message)
    return b"".join(program)


def _watched(outcomes: _Outcomes, numbers: Mapping[str, int]) -> _Outcomes:
    """Put everything to the watcher but what is both allowed and named as unwatched."""
    watched = dict(outcomes)
    unseen = {
        numbers[name]: entry
        for entry in read_unwatched()
        for name in entry.names
        if name in numbers
    }
    for number, outcome in outcomes.items():
        watched[number] = _seen(outcome, unseen.get(number))
    return watched


def _seen(outcome: "_Outcome", unseen: Unwatched | None) -> "_Outcome":
    """Give what becomes of one call of a watched guest."""
    is_plain = outcome == _Outcome(code=ALLOW)
    if unseen is None or (unseen.when and not is_plain):
        return _Outcome(code=NOTIFY)
    if unseen.when:
        return _Outcome(code=NOTIFY, cases=((unseen.when, ALLOW),))
    cases = tuple((when, code if code == ALLOW else NOTIFY) for when, code in outcome.cases)
    return _Outcome(code=outcome.code if outcome.code == ALLOW else NOTIFY, cases=cases)


# Writing the program. Every block ends in returns and jumps only forward within itself.


def _outcomes(merged: CallList, numbers: Mapping[str, int]) -> _Outcomes:
    entries = merged.entries.items()
    return {numbers[call]: _outcome(of_call) for call, of_call in entries if call in numbers}


def _ranges(outcomes: _Outcomes, default: "_Outcome") -> Iterator[_Range]:
    """Cut the numbers into the fewest ranges of one outcome each."""
    previous = None
    for start in sorted({0, *outcomes, *(number + 1 for number in outcomes)}):
        outcome = outcomes.get(start, default)
        if outcome != previous:
            yield _Range(start=start, outcome=outcome)
        previous = outcome


def _outcome(entries: tuple[Entry, ...]) -> _Outcome:
    (code,) = (entry.code for entry in entries if not entry.when)
    return _Outcome(
        code=code, cases=tuple((entry.when, entry.code) for entry in entries if entry.when)
    )


def _guard(machine: str) -> list[bytes]:
    """Kill what comes by another architecture; go on with the number loaded."""
    kill = _instruction(RETURN, KILL_PROCESS)
    program = [
        _instruction(LOAD_WORD, ARCH_OFFSET),
        _instruction(JUMP_IF_EQUAL, AUDIT_ARCH[machine], if_true=1),
        kill,
        _instruction(LOAD_WORD, NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        program += [_instruction(JUMP_IF_AT_LEAST, X32_BIT, if_false=1), kill]
    return program


def _tree(ranges: Sequence[_Range]) -> list[bytes]:
    """Find the range of the loaded number by halving."""
    if len(ranges) == 1:
        return _leaf(ranges[0].outcome)
    middle = len(ranges) // 2
    below = _tree(ranges[:middle])
    return [*_over(ranges[middle].start, len(below)), *below, *_tree(ranges[middle:])]


def _over(start: int, below: int) -> list[bytes]:
    """Jump over the block of the numbers below start; conditional jumps reach only so far."""
    if below <= SHORT_JUMP_MAX:
        return [_instruction(JUMP_IF_AT_LEAST, start, if_true=below)]
    return [_instruction(JUMP_IF_AT_LEAST, start, if_false=1), _instruction(JUMP, below)]


def _leaf(outcome: _Outcome) -> list[bytes]:
    program: list[bytes] = []
    for conditions, code in outcome.cases:
        program += _case(conditions, code)
    return [*program, _instruction(RETURN, outcome.code)]


def _case(conditions: tuple[Condition, ...], code: int) -> list[bytes]:
    """Return the code if all conditions hold, or else go on behind this block."""
    block = [_instruction(RETURN, code)]
    for condition in reversed(conditions):
        offset = ARGUMENTS_OFFSET + 8 * condition.argument
        values = list(condition.equals.values())
        # On a 32-bit condition the high half has an empty mask: no comparison.
        high = [value >> HALF for value in values]
        low = [value & HALF_BITS for value in values]
        block = _compare(offset + 4, condition.bits >> HALF, high, len(block)) + block
        block = _compare(offset, condition.bits & HALF_BITS, low, len(block)) + block
    return block


def _compare(offset: int, mask: int, values: list[int], rest: int) -> list[bytes]:
    """Go on if the masked word is one of the values, or else jump over the rest of the block."""
    if not mask:
        return []
    load = [_instruction(LOAD_WORD, offset)]
    masked = [] if mask == HALF_BITS else [_instruction(AND, mask)]
    *others, last = values
    ahead = range(len(others), 0, -1)
    tests = [_instruction(JUMP_IF_EQUAL, v, if_true=n) for v, n in zip(others, ahead, strict=True)]
    return [*load, *masked, *tests, _instruction(JUMP_IF_EQUAL, last, if_false=rest)]


def _instruction(code: int, operand: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """Pack a struct sock_filter."""
    if max(if_true, if_false) > SHORT_JUMP_MAX:
        message = f"system-call list: a condition's block is over {SHORT_JUMP_MAX} instructions"
        raise EngineFault(message)
    return struct.pack("<HBBI", code, if_true, if_false, operand)

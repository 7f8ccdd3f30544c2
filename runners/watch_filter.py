"""Runs a guest's system-call filter once more, for one call, on the host's side.

The kernel asks the watcher about every refused call instead of refusing it, so that it can be
written down. What it then answers is not the watcher's opinion: it is what the very program says
that other guests have in the kernel, of the numbers in registers that the kernel copied. Nothing
that a guest can still change has a part in it.
"""

import struct
from typing import NamedTuple

ALLOW = 0x7FFF0000  # linux/seccomp.h
ERRNO = 0x00050000
LOAD_WORD, AND, JUMP, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
ARGUMENTS_OFFSET = 16
CALL = struct.Struct("=iIQ6Q")  # struct seccomp_data
INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter


class Decision(NamedTuple):
    """What becomes of a call. error: the errno that it gets; 0: success without effect."""

    is_allowed: bool
    error: int


class Filter:
    """A filter as seccomp(2) takes it."""

    def __init__(self, program: bytes) -> None:
        """Take it apart. Raises ValueError for an instruction that our compiler never writes."""
        self._program = list(INSTRUCTION.iter_unpack(program))
        known = {LOAD_WORD, AND, JUMP, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN}
        if strange := {code for code, *_ in self._program} - known:
            message = f"the filter has an instruction {strange.pop():#x}"
            raise ValueError(message)
        self._by_number: dict[int, Decision] = {}

    def decide(self, number: int, call: bytes | memoryview) -> Decision:
        """Say what becomes of a call, given as its number and a struct seccomp_data."""
        if (known := self._by_number.get(number)) is not None:
            return known
        code, is_about_arguments = self._run(call)
        decision = Decision(code == ALLOW, code & 0xFFFF if code & ~0xFFFF == ERRNO else 1)
        if not is_about_arguments:
            self._by_number[number] = decision
        return decision

    def _run(self, call: bytes | memoryview) -> tuple[int, bool]:
        """Give what the program returns, and whether it looked at an argument on its way."""
        place = word = 0
        is_about_arguments = False
        while True:
            code, if_true, if_false, operand = self._program[place]
            place += 1
            if code == RETURN:
                return operand, is_about_arguments
            if code == LOAD_WORD:
                (word,) = struct.unpack_from("=I", call, operand)
                is_about_arguments = is_about_arguments or operand >= ARGUMENTS_OFFSET
            elif code == AND:
                word &= operand
            elif code == JUMP:
                place += operand
            else:
                is_met = word == operand if code == JUMP_IF_EQUAL else word >= operand
                place += if_true if is_met else if_false

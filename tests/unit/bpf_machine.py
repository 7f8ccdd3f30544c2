"""A small interpreter of classic BPF over struct seccomp_data, to try filters without a kernel.

It knows the instructions that filters for seccomp(2) are made of and refuses all others.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386, ARM = 0x40000003, 0x40000028
X32_BIT = 0x40000000
ANSWERS = {
    0x7FFF0000: "allow",
    0x00050000: "NOTHING",
    0x00050001: "EPERM",
    0x00050026: "ENOSYS",
    0x80000000: "kill",
}

ARGUMENTS = 6
LOAD_WORD = 0x20
AND = 0x54
JUMP = 0x05
RETURN = 0x06
CONDITIONAL = {0x15: "equal", 0x25: "above", 0x35: "at least", 0x45: "shares a bit"}


class Instruction(NamedTuple):
    """A struct sock_filter."""

    code: int
    if_true: int
    if_false: int
    operand: int


@dataclass(frozen=True, kw_only=True)
class Call:
    """A system call as the kernel shows it to a filter; numbers are unsigned."""

    arch: int
    number: int
    arguments: tuple[int, ...] = ()

    def pack(self) -> bytes:
        """Give the struct seccomp_data, little endian; absent arguments are zero."""
        arguments = (*self.arguments, *(0,) * (ARGUMENTS - len(self.arguments)))
        return struct.pack("<IIQ6Q", self.number, self.arch, 0, *arguments)


def parse(program: bytes) -> list[Instruction]:
    """Take the array of struct sock_filter apart."""
    return [Instruction(*fields) for fields in struct.iter_unpack("<HBBI", program)]


def run(program: list[Instruction], call: Call) -> int:
    """Give what the filter returns for this call."""
    memory = call.pack()
    accumulator = 0
    position = 0
    while (instruction := program[position]).code != RETURN:
        position += 1
        if instruction.code == LOAD_WORD:
            (accumulator,) = struct.unpack_from("<I", memory, instruction.operand)
        elif instruction.code == AND:
            accumulator &= instruction.operand
        else:
            position += _distance(instruction, accumulator)
    return instruction.operand


def _distance(instruction: Instruction, accumulator: int) -> int:
    """Tell how many instructions a jump passes over."""
    operand = instruction.operand
    if instruction.code == JUMP:
        return operand
    holds = {
        "equal": accumulator == operand,
        "above": accumulator > operand,
        "at least": accumulator >= operand,
        "shares a bit": bool(accumulator & operand),
    }[CONDITIONAL[instruction.code]]
    return instruction.if_true if holds else instruction.if_false


def longest_path(program: list[Instruction]) -> int:
    """Count the instructions of the longest way through; IndexError if one leaves the program."""
    lengths = [0] * len(program)
    for position in reversed(range(len(program))):
        instruction = program[position]
        following = [position + 1 + distance for distance in _distances(instruction)]
        lengths[position] = 1 + max((lengths[place] for place in following), default=0)
    return lengths[0]


def _distances(instruction: Instruction) -> set[int]:
    if instruction.code == RETURN:
        return set()
    if instruction.code == JUMP:
        return {instruction.operand}
    if instruction.code in CONDITIONAL:
        return {instruction.if_true, instruction.if_false}
    return {0}

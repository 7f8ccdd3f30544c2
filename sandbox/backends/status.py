"""Reads a guest's status socket, which only the zygote and PID 1 have: ours, both of them."""

import socket
from array import array
from typing import Final, NamedTuple

from sandbox.backends.meter import TreeUsage, parse_usage
from sandbox.wire import REPORT_BYTES, InitReport, parse_report

__all__ = ["End", "parse_end", "receive"]

MESSAGE_BYTES: Final = 512
RIGHTS_BYTES: Final = socket.CMSG_SPACE(2 * array("i").itemsize)
"""Room for the work folder and the descriptor of PID 1."""
AT_ALONE, AT_USED = REPORT_BYTES, REPORT_BYTES + 1
"""Where the report of PID 1 goes on: whether it is alone, and what those it reaped have used."""


class End(NamedTuple):
    """How the main process ended."""

    report: InitReport
    is_alone: bool
    """Whether PID 1 has nobody left."""
    used: TreeUsage


def receive(status: socket.socket) -> tuple[bytes, list[int]]:
    """Take one message, with the descriptors in it. Raises OSError."""
    message, rights, _, _ = status.recvmsg(MESSAGE_BYTES, RIGHTS_BYTES)
    return message, [*memoryview(rights[0][2]).cast("i")] if rights else []


def parse_end(message: bytes) -> End:
    """Read PID 1's message of the end of the main process. Raises Malformed."""
    return End(
        report=parse_report(message[:REPORT_BYTES]),
        is_alone=message[AT_ALONE:AT_USED] == b"\x01",
        used=parse_usage(message[AT_USED:]),
    )

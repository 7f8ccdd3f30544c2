"""What calls about processes ask for: programs that are started, and signals that are sent."""

import signal
from collections.abc import Iterator

from watch_files import Asked, Event, Reader, outcome
from watch_places import AT_EMPTY_PATH

OTHERS = {"0": "its own group", "-1": "everybody"}


def _execve(asked: Asked) -> Iterator[Event]:
    return _program(asked, asked.path(0), asked.arguments[1])


def _execveat(asked: Asked) -> Iterator[Event]:
    """Read execveat(2); without a path it is the file behind the descriptor."""
    folder = asked.number_at(0)
    name = asked.memory.text(asked.arguments[1])
    is_empty = not name and asked.number_at(4) & AT_EMPTY_PATH
    path = asked.absolute(folder, "" if is_empty else name)
    return _program(asked, path, asked.arguments[2])


def _program(asked: Asked, named: str, argv_at: int) -> Iterator[Event]:
    place = asked.places.find_program(named)
    is_in_memory = named.startswith("/memfd:")
    words, is_cut = asked.memory.argv(argv_at) if argv_at else ([], False)
    yield {
        "kind": "program",
        "path": place.path,
        "argv": words,
        "is_cut": is_cut,
        "outcome": "allowed" if is_in_memory else outcome(place),
    }


def _signal(number_at: int, target_at: int) -> Reader:
    """Read a call with a signal and who is to get it, kill(2), tgkill(2)."""

    def reader(asked: Asked) -> Iterator[Event]:
        number, target = asked.number_at(number_at), asked.number_at(target_at)
        if number:  # with 0 a program asks whether somebody is there
            yield {
                "kind": "signal",
                "signal": signal_name(number),
                "target": _target(asked, target),
                "outcome": "allowed",
            }

    return reader


def _target(asked: Asked, target: int) -> str:
    if target == asked.number:
        return "itself"
    if target > 0:
        return f"pid {target}"
    return OTHERS.get(str(target), f"group {-target}")


def _signal_by_descriptor(asked: Asked) -> Iterator[Event]:
    if number := asked.number_at(1):
        event = {"kind": "signal", "signal": signal_name(number), "outcome": "allowed"}
        yield {**event, "target": "the process behind a descriptor"}


def signal_name(number: int) -> str:
    """Name a signal, signal(7)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


READERS: dict[str, Reader] = {
    "execve": _execve,
    "execveat": _execveat,
    "kill": _signal(1, 0),
    "tkill": _signal(1, 0),
    "tgkill": _signal(2, 0),
    "rt_sigqueueinfo": _signal(1, 0),
    "rt_tgsigqueueinfo": _signal(2, 0),
    "pidfd_send_signal": _signal_by_descriptor,
}
"""By the name of the call."""

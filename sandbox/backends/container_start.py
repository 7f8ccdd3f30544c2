"""A container brought up: made, attached to, started, greeted, locked down. All of it blocks."""

import json
import select
import struct
from typing import Any, Final

from sandbox.backends.container_options import ContainerPlan, container_configuration
from sandbox.backends.docker_engine import Attached, DockerEngine
from sandbox.errors import CannotEnforce, EngineFault
from sandbox.policy import Quota
from sandbox.wire import Malformed
from sandbox.wire_container import ContainerReader, Fault, Hello, Ready

__all__ = [
    "CALL",
    "FILES",
    "FILE_NAMED",
    "INTERRUPT",
    "KILL",
    "PAYLOAD",
    "REST",
    "STDIN",
    "STDIN_END",
    "TERMINATE",
    "TURN",
    "Container",
    "encode",
    "start_container",
]

CONFIGURATION, CALL, STDIN, STDIN_END, TERMINATE, KILL = range(1, 7)
TURN, PAYLOAD, INTERRUPT, REST, FILES, FILE_NAMED = range(7, 13)
"""Kinds of frames to PID 1, as runners/link.py numbers them."""
START_SECONDS: Final = 60.0
READ_BYTES: Final = 1 << 18
_HEADER: Final = struct.Struct(">IB")


def encode(kind: int, body: bytes = b"1") -> bytes:
    """Write a frame to PID 1."""
    return _HEADER.pack(len(body), kind) + body


class Container:
    """A started container whose PID 1 is locked down and waits for its call."""

    def __init__(self, engine: DockerEngine, container: str, attached: Attached) -> None:
        """Take over a container that was made and attached to, but not started."""
        self.id = container
        self.engine = engine
        self.attached = attached
        self.hello = Hello(0, (0, 0), ())
        self.reader = ContainerReader(0)

    @property
    def is_alive(self) -> bool:
        """Whether it still waits: until its call it says nothing, and its end is an end-of-file."""
        poll = select.poll()
        poll.register(self.attached.socket, select.POLLIN)
        return not poll.poll(0)

    def discard(self) -> None:
        """Kill and remove it. Blocks."""
        self.attached.close()
        self.engine.remove(self.id)


def start_container(
    engine: DockerEngine, plan: ContainerPlan, configuration: dict[str, Any]
) -> Container:
    """Make a container and wait until PID 1 is locked down. Blocks. Leaves nothing on a fault."""
    made = engine.create(container_configuration(plan))
    try:
        container = Container(engine, made, engine.attach(made))
    except BaseException:
        engine.remove(made)
        raise
    try:
        engine.start(made)
        _shake_hands(container, plan.policy.quota, configuration)
    except BaseException:
        container.discard()
        raise
    container.attached.socket.setblocking(False)
    return container


def _shake_hands(container: Container, quota: Quota, configuration: dict[str, Any]) -> None:
    container.reader = ContainerReader(quota.returned_bytes)
    container.attached.socket.settimeout(START_SECONDS)
    hello = _next(container, Hello)
    if hello.wire != configuration["wire"]:
        message = (
            f"PID 1 of the container speaks version {hello.wire} of the wire and this engine "
            f"version {configuration['wire']}: build the image again with 'sandbox images build'"
        )
        raise CannotEnforce(message)
    container.hello = hello
    container.attached.socket.sendall(encode(CONFIGURATION, json.dumps(configuration).encode()))
    _next(container, Ready)


def _next(container: Container, kind: type[Any]) -> Any:
    """Wait for an event of one kind."""
    while True:
        try:
            chunk = container.attached.socket.recv(READ_BYTES)
            events = container.reader.feed(chunk)
        except (OSError, Malformed) as fault:
            message = f"PID 1 of a container cannot be understood: {fault}"
            raise EngineFault(message) from fault
        if not chunk:
            words = container.reader.last_words
            message = f"a container ended before its call: {words or 'it said nothing'}"
            raise EngineFault(message)
        for event in events:
            if isinstance(event, Fault):
                message = f"no guest can be locked down in the container: {event.reason}"
                raise CannotEnforce(message)
            if isinstance(event, kind):
                return event

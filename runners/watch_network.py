"""What calls about sockets ask for: addresses, ports, and the names in questions to a resolver."""

import ipaddress
import socket
import struct
from collections.abc import Iterator

from watch_files import Asked, Event, Reader, outcome
from watch_memory import text_of
from watch_places import AT_FDCWD

ADDRESS_BYTES = 128  # struct sockaddr_storage
SENT_BYTES = 512
SHOWN_BYTES = 200
MOST_MESSAGES = 4
MOST_KEPT = 10_000
MESSAGE_WORDS = 8  # struct mmsghdr: the seven of a struct msghdr, and a length
DOMAIN_PORT = 53
QUESTION_AT = 12  # behind the header, RFC 1035 4.1.1
MOST_LABEL_BYTES = 63
FAMILIES = {2: "inet", 10: "inet6", 1: "unix"}  # address_families(7)


Socket = tuple[int, int]
"""A process's number in the guest, and its descriptor."""


class Network:
    """Knows which sockets of a guest talk to a resolver, and where they were bound."""

    def __init__(self, *, is_closed: bool) -> None:
        """is_closed: whether the guest has a network of its own, with nobody in it."""
        self._is_closed = is_closed
        self._resolvers: set[Socket] = set()
        self._bound: dict[Socket, Event] = {}
        self.readers: dict[str, Reader] = {
            "connect": self._connect,
            "bind": self._bind,
            "listen": self._listen,
            "sendto": self._send_to,
            "sendmsg": lambda asked: self._send_messages(asked, 1),
            "sendmmsg": lambda asked: self._send_messages(asked, asked.number_at(2)),
        }

    def _connect(self, asked: Asked) -> Iterator[Event]:
        key = (asked.number, asked.number_at(0))
        self._resolvers.discard(key)
        for event in self._named(asked, "connect"):
            if event["port"] == DOMAIN_PORT and len(self._resolvers) < MOST_KEPT:
                self._resolvers.add(key)
            yield event

    def _named(self, asked: Asked, action: str) -> Iterator[Event]:
        size = min(asked.arguments[2], ADDRESS_BYTES)
        if size >= 2:
            yield self._event(asked, action, asked.memory.read(asked.arguments[1], size))

    def _bind(self, asked: Asked) -> Iterator[Event]:
        for event in self._named(asked, "bind"):
            if len(self._bound) < MOST_KEPT:
                self._bound[asked.number, asked.number_at(0)] = event
            yield event

    def _listen(self, asked: Asked) -> Iterator[Event]:
        """Give the address of the bind() before; a port that the kernel chose is not to be seen."""
        unknown = {"kind": "network", "family": "", "outcome": "allowed"}
        yield {**self._bound.get((asked.number, asked.number_at(0)), unknown), "action": "listen"}

    def _send_to(self, asked: Asked) -> Iterator[Event]:
        _, content, size, _, name, name_size = asked.arguments
        address = _bytes(asked, name, min(name_size, ADDRESS_BYTES) if name else 0)
        return self._sent(asked, address, _bytes(asked, content, min(size, SENT_BYTES)))

    def _send_messages(self, asked: Asked, count: int) -> Iterator[Event]:
        """Read struct msghdr, sendmsg(2): the address, and the first piece of each."""
        for number in range(min(count, MOST_MESSAGES)):
            place = asked.arguments[1] + 8 * MESSAGE_WORDS * number
            name, name_size, pieces, piece_count, *_ = asked.memory.words(place, 7)
            address_size = min(name_size & 0xFFFFFFFF, ADDRESS_BYTES) if name else 0
            base, size = asked.memory.words(pieces, 2) if piece_count else (0, 0)
            address = _bytes(asked, name, address_size)
            yield from self._sent(asked, address, _bytes(asked, base, min(size, SENT_BYTES)))

    def _sent(self, asked: Asked, address: bytes, sent: bytes) -> Iterator[Event]:
        is_question = (asked.number, asked.number_at(0)) in self._resolvers
        if len(address) >= 2:
            event = self._event(asked, "send", address)
            is_question = is_question or event["port"] == DOMAIN_PORT
            yield {**event, "sent": text_of(sent[:SHOWN_BYTES])}
        elif sent and not is_question:
            said = {"family": "", "sent": text_of(sent[:SHOWN_BYTES]), "outcome": "allowed"}
            yield {"kind": "network", "action": "send", **said}
        if is_question and (name := question(sent)):
            result = "refused" if self._is_closed else "allowed"
            asks = {"action": "resolve", "family": "inet", "name": name, "outcome": result}
            yield {"kind": "network", **asks}

    def _event(self, asked: Asked, action: str, content: bytes) -> Event:
        (family,) = struct.unpack_from("=H", content)
        event = {"kind": "network", "action": action, "outcome": "allowed", "port": 0}
        event["family"] = FAMILIES.get(family, f"AF_{family}")
        if family == socket.AF_UNIX:
            return event | self._unix(asked, action, content[2:])
        if address := internet_address(family, content):
            event["address"] = str(address)
            (event["port"],) = struct.unpack_from(">H", content, 2)
            is_far = not (address.is_loopback or address.is_unspecified)
            if self._is_closed and is_far:
                event["outcome"] = "refused"
        return event

    def _unix(self, asked: Asked, action: str, name: bytes) -> Event:
        """Read the name of a local socket, unix(7): a path, or behind a NUL an abstract one."""
        if name.startswith(b"\0"):
            return {"address": "@" + text_of(name[1:]).rstrip("\0")}
        path = text_of(name.partition(b"\0")[0])
        whole = asked.absolute(AT_FDCWD, path)
        if action == "bind" or not path:
            return {"address": whole}
        return {"address": whole, "outcome": outcome(asked.places.find(whole, 0))}


def _bytes(asked: Asked, address: int, size: int) -> bytes:
    return asked.memory.read(address, size) if size else b""


def internet_address(
    family: int, content: bytes
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, ip(7) and ipv6(7); an IPv4 one that is written as IPv6 as what it is."""
    try:
        if family == socket.AF_INET:
            return ipaddress.IPv4Address(content[4:8])
        if family == socket.AF_INET6:
            six = ipaddress.IPv6Address(content[8:24])
            return six.ipv4_mapped or six
    except ValueError:  # it is cut short
        pass
    return None


def question(message: bytes) -> str:
    """Give the name that is asked for in a message to a resolver, "" for none, RFC 1035 4.1.2."""
    for start in (QUESTION_AT, QUESTION_AT + 2):  # over TCP a length comes first
        labels: list[bytes] = []
        place = start
        while place < len(message) and 0 < message[place] <= MOST_LABEL_BYTES:
            labels.append(message[place + 1 : place + 1 + message[place]])
            place += 1 + message[place]
        if labels and place < len(message) and message[place] == 0:
            return text_of(b".".join(labels))
    return ""

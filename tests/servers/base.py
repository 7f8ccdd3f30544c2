"""A model provider on 127.0.0.1: it plays a script, and refuses what the real one would refuse."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, TypeAlias, cast

__all__ = [
    "Asks",
    "Event",
    "Fails",
    "Object",
    "ProviderServer",
    "Refused",
    "Says",
    "objects",
    "pieces",
]

Object: TypeAlias = dict[str, Any]
PIECE_CHARACTERS = 7
MOST_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Asks:
    """A function call of the scripted model. arguments: an object, or any text where it can be."""

    id: str
    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str:
        """The arguments as they are sent in text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True)
class Says:
    """One turn of the scripted model.

    pauses: Anthropic's pause_turn. is_cut_off: it ends at its length limit. breaks: the connection
    ends in the middle of its events. halts: in their middle it waits until the gate is opened.
    """

    text: str = ""
    calls: Sequence[Asks] = ()
    pauses: bool = False
    is_cut_off: bool = False
    breaks: bool = False
    halts: bool = False


@dataclass(frozen=True)
class Fails:
    """A turn in which the provider fails."""

    status: int = 500


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    content: Object | str
    name: str = ""

    def encode(self) -> bytes:
        text = self.content if isinstance(self.content, str) else json.dumps(self.content)
        head = f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {text}\n\n".encode()


class Refused(Exception):
    """A request that the real provider answers with status 400."""


class ProviderServer:
    """Serves a script, one turn a request. Use it as `with`.

    requests: what was sent, in order. asked: set at each request. halted: set in the middle of a
    turn that halts. gate: closed, it holds answers.
    """

    def __init__(self, *script: Says | Fails) -> None:
        self.requests: list[Object] = []
        self._script = list(script)
        self._turns = 0
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.halted = threading.Event()

    @property
    def url(self) -> str:
        """Where clients find it, while it serves."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def left(self) -> int:
        """How many turns of the script were not asked for."""
        return len(self._script)

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, body: Object) -> "Object | Iterator[Event] | Fails":
        """Take one request and give the next turn. Raises Refused."""
        self.requests.append(body)
        self.asked.set()
        if not self.gate.wait(MOST_WAIT_SECONDS):
            message = "nobody opened the gate"
            raise Refused(message)
        self.check(body)
        if not self._script:
            message = "the script is over: the client asked once too often"
            raise Refused(message)
        turn = self._script.pop(0)
        if isinstance(turn, Fails):
            return turn
        self._turns += 1
        if not self.wants_stream(path, body):
            return self.response(turn)
        events = list(self.events(turn))
        first, second = events[: len(events) // 2], events[len(events) // 2 :]
        if turn.halts:
            return self._halting(first, second)
        return iter(first if turn.breaks else events)

    def _halting(self, first: list[Event], second: list[Event]) -> Iterator[Event]:
        self.gate.clear()
        yield from first
        self.halted.set()
        self.gate.wait(MOST_WAIT_SECONDS)
        yield from second

    @property
    def number(self) -> int:
        """Number of this turn, counted from 1."""
        return self._turns

    def wants_stream(self, path: str, body: Object) -> bool:
        """Say whether a request asks for events."""
        del path
        return bool(body.get("stream"))

    def check(self, body: Object) -> None:
        """Raise Refused for what the real provider refuses."""
        raise NotImplementedError

    def response(self, turn: Says) -> Object:
        """Give a turn as one JSON document."""
        raise NotImplementedError

    def events(self, turn: Says) -> Iterator[Event]:
        """Give a turn as events."""
        raise NotImplementedError

    def error(self, message: str) -> Object:
        """Give a fault as this provider says it."""
        return {"error": {"message": message, "type": "invalid_request_error", "code": 400}}


def objects(value: object) -> list[Object]:
    """Give a list of objects as that; anything else has none."""
    return cast("list[Object]", value) if isinstance(value, list) else []


def pieces(text: str) -> list[str]:
    """Cut a text as a stream does: in the middle of words and of escapes."""
    cuts = range(0, max(1, len(text)), PIECE_CHARACTERS)
    return [text[start : start + PIECE_CHARACTERS] for start in cuts]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, provider: ProviderServer, *given: Any) -> None:
        self._provider = provider
        super().__init__(*given)

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body: Object = json.loads(self.rfile.read(length))
        try:
            given = self._provider.answer(self.path, body)
        except Refused as refusal:
            return self._send_json(400, self._provider.error(str(refusal)))
        if isinstance(given, Fails):
            return self._send_json(given.status, self._provider.error("it is broken today"))
        if isinstance(given, dict):
            return self._send_json(200, given)
        return self._send_events(given)

    def _send_json(self, status: int, content: Object) -> None:
        body = json.dumps(content).encode()
        self._send(status, "application/json", len(body))
        self.wfile.write(body)

    def _send_events(self, events: Iterator[Event]) -> None:
        self._send(200, "text/event-stream", None)
        with suppress(ConnectionError):  # a client that goes away
            for event in events:
                self.wfile.write(event.encode())

    def _send(self, status: int, content_type: str, length: int | None) -> None:
        """Send the head; without a length the end of the connection is the end."""
        self.send_response(status)
        self.send_header("content-type", content_type)
        if length is not None:
            self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        del format, args

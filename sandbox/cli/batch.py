"""`sandbox batch`: many calls from a file, each result a line, and never a call run twice."""

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from sandbox.cli import BROKEN_PIPE, OURS
from sandbox.cli import options as given
from sandbox.cli.output import say
from sandbox.errors import BadCall, EngineFault, SandboxError

if TYPE_CHECKING:
    from sandbox.backends.base import Backend
    from sandbox.batch import CallFile, Entry
    from sandbox.box import AsyncSandbox
    from sandbox.result import Result

__all__ = ["batch"]


def batch(  # noqa: PLR0913, PLR0917 - each is an option of its own
    programs: Annotated[
        Path, typer.Argument(metavar="FILE", help="One call as JSON a line; - for standard input.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="One result as JSON a line; - for standard output.")
    ],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="NUMBER", help="Calls at once; one per processor by default."),
    ] = None,
    again: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--again", help="Run once more what had begun and has no result.")
    ] = False,
    policy: given.PolicyName = "strict",
    timeout: given.Timeout = None,
    cpu_seconds: given.CpuSeconds = None,
    memory: given.Memory = None,
    processes: given.Processes = None,
    disk: given.Disk = None,
    output: given.Output = None,
    network: given.Network = None,
    reason: given.Reason = "",
    backend: given.BackendName = None,
    image: given.ImageName = None,
    runtime: given.RuntimeName = None,
) -> int:
    """Run many calls, a fresh guest for each, and write each result as it comes.

    A line of FILE is an object with one of "source", "function" ("module:name") and "argv"; beside
    "source": inputs, arguments, name, expect_value; beside "function": arguments, keywords; beside
    each: id (a string or an integer, given once), files, stdin. Content of files and stdin is text
    or {"base64": "..."}. Bad lines are named before anything runs.

    A line of --out is {"id", "line", "status", "result"}. A batch that was killed goes on when the
    same command is given again: what has begun is noted in OUT.journal, and never run twice. Calls
    that had begun and have no result are recorded last, as status "unknown", or run once more with
    --again. Results are not forced to the disk: after a power cut, begin anew.

    Exit status: 0 when all lines are recorded, whatever the verdicts. 125: a fault of ours or in
    what was asked, or calls that could not be sent (status "refused"). 130: interrupted.
    """
    options = _options(locals())
    try:
        return _carry_out(programs, out, jobs or os.cpu_count() or 1, options, again=again)
    except BrokenPipeError:  # caught here: typer would make it exit status 1
        return BROKEN_PIPE


def _options(given_here: dict[str, Any]) -> given.Options:
    """Pick what makes the policy and the guests; the rest has no meaning for a batch."""
    return given.Options(
        policy=given_here["policy"],
        wall_seconds=given_here["timeout"],
        cpu_seconds=given_here["cpu_seconds"],
        memory_bytes=given_here["memory"],
        processes=given_here["processes"],
        disk_bytes=given_here["disk"],
        output_bytes=given_here["output"],
        network=given_here["network"],
        reason=given_here["reason"],
        files=(),
        out=None,
        is_json=True,
        wants_stdin=None,
        backend=given_here["backend"],
        image=given_here["image"],
        runtime=given_here["runtime"],
    )


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """What is run, with what, and where it is recorded."""

    calls: "CallFile"
    records: "_Records"
    box: "AsyncSandbox"
    backend: "Backend"
    again: bool


def _carry_out(programs: Path, out: Path, jobs: int, options: given.Options, *, again: bool) -> int:
    """Look at every line, run those that have no result, and give the exit status."""
    from sandbox.batch import CallFile  # noqa: PLC0415 - slow to import
    from sandbox.box import AsyncSandbox  # noqa: PLC0415 - ditto
    from sandbox.choices import as_backend, backend_for  # noqa: PLC0415 - ditto
    from sandbox.cli.gather import gather_policy  # noqa: PLC0415 - ditto

    policy = gather_policy(options)
    name = options.backend or backend_for(policy)
    backend = as_backend(name, (), image=options.image, runtime=options.runtime)
    with _opened(programs) as file:
        calls = CallFile(file, lambda what: say(f"{programs}: {what}"))
        guests = {"backend": name, "image": options.image, "runtime": options.runtime}
        header = {"input": calls.sha256, "policy": policy.fingerprint, **guests}
        with _recorded(out, header, calls) as records:
            box = AsyncSandbox(policy, backend=backend, parallel=jobs)
            job = _Batch(calls=calls, records=records, box=box, backend=backend, again=again)
            _run_rest(job)
            _give_up_begun(job)
    _show_summary(records.tally)
    if refused := records.tally.counts["refused"]:
        say(f"{refused} calls could not be sent: look for status refused in {out}")
    return OURS if refused else 0


@contextmanager
def _opened(programs: Path) -> Generator[BinaryIO]:
    """Open a file of calls; a pipe is copied first, for every line is looked at before any runs."""
    try:
        file = sys.stdin.buffer if str(programs) == "-" else programs.open("rb")
    except OSError as fault:
        message = f"{programs}: cannot be read: {fault.strerror}: check the path"
        raise BadCall(message) from None
    with file, tempfile.TemporaryFile() as copy:
        if file is sys.stdin.buffer or not file.seekable():
            shutil.copyfileobj(file, copy)
            yield copy
        else:
            yield file


class _Tally:
    """What became of the calls, counted; also of those of an earlier run of the same batch."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.earlier = 0
        self.counts = Counter[str]()
        self.seconds = array("d")
        self._began = time.monotonic()

    def add(self, status: str, wall_seconds: float | None) -> None:
        self.done += 1
        self.counts[status] += 1
        if wall_seconds is not None:
            self.seconds.append(wall_seconds)

    def begin(self) -> None:
        """Count what comes from now on for the rate."""
        self.earlier = self.done
        self._began = time.monotonic()

    @property
    def passed_seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        return (self.done - self.earlier) / max(self.passed_seconds, 1e-9)

    def __str__(self) -> str:
        counts = ", ".join(f"{status} {count}" for status, count in self.counts.most_common())
        return f"{self.rate:.1f}/s: {counts}"


class _Records:
    """The file of results, and the journal beside it: a call is noted there before it begins."""

    def __init__(
        self, write: Callable[[bytes], None], journal: BinaryIO | None, calls: "CallFile"
    ) -> None:
        self._write = write
        self._journal = journal
        self.is_stream = journal is None
        self._begun, self._recorded = bytearray(calls.lines + 1), bytearray(calls.lines + 1)
        self.tally = _Tally(calls.calls)

    def is_due(self, line: int, *, again: bool) -> bool:
        return not self._recorded[line] and (again or not self._begun[line])

    def note(self, what: Literal["begun", "not begun"], entry: "Entry") -> None:
        """Note that it begins, or that nothing of it ran after all."""
        if self._journal:
            _write_whole(self._journal, f"{what} {entry.line}\n".encode())

    def write(self, entry: "Entry", result: "Result") -> None:
        head = json.dumps({"id": entry.id, "line": entry.line, "status": result.status})
        self._write(f'{head[:-1]}, "result": {result.to_json()}}}\n'.encode())
        self._count(entry.line, result.status, result.usage.wall_seconds)

    def write_reason(self, entry: "Entry", status: str, reason: str) -> None:
        """Record a call without a result."""
        record = {"id": entry.id, "line": entry.line, "status": status, "result": None}
        self._write(json.dumps(record | {"reason": reason}).encode() + b"\n")
        self._count(entry.line, status, None)

    def _count(self, line: int, status: str, wall_seconds: float | None) -> None:
        self._recorded[line] = 1
        self.tally.add(status, wall_seconds)

    def recall(self, noted: Iterator[bytes], out: Path) -> None:
        """Take over what an earlier run noted and recorded. Raises BadCall for what it did not."""
        for note in noted:
            what, _, line = note.rpartition(b" ")
            self._begun[int(line)] = what == b"begun"
        for number, text in enumerate(_whole_lines(out), start=1):
            try:
                record = json.loads(text)
                seconds = record["result"]["usage"]["wall_seconds"] if record["result"] else None
                self._count(record["line"], record["status"], seconds)
            except (ValueError, LookupError, TypeError):
                message = f"{out}: line {number} is no result of this batch: name another --out"
                raise BadCall(message) from None
        self.tally.begin()


def _write_whole(file: BinaryIO, line: bytes) -> None:
    """Write a line with one write(2): a process that is killed leaves at most the last one torn."""
    if file.write(line) != len(line):
        message = "only part of a result could be written: is the disk full?"
        raise EngineFault(message, started="yes")


@contextmanager
def _recorded(out: Path, header: Mapping[str, Any], calls: "CallFile") -> Generator[_Records]:
    """Open the results and their journal, which is removed when all went well. Raises BadCall."""
    if str(out) == "-":
        from sandbox.cli.streams import Stream  # noqa: PLC0415 - slow to import

        stdout = Stream(1)
        yield _Records(lambda line: stdout.write_now(line.decode()), None, calls)
        return
    path = out.with_name(f"{out.name}.journal")
    if out.exists() and not path.exists():
        message = f"{out}: is there already, and no unfinished batch wrote it: name another"
        raise BadCall(message)
    with path.open("ab", buffering=0) as journal:
        _hold_alone(journal, out)
        noted = _whole_lines(path)
        before, first = next(noted, b""), next(noted, b"")
        if first:
            _check_header(json.loads(before), header, out)
        else:  # nothing had begun: it may be another batch
            journal.truncate(0)
            _write_whole(journal, json.dumps(header).encode() + b"\n")
        with out.open("ab", buffering=0) as results:
            records = _Records(partial(_write_whole, results), journal, calls)
            records.recall(chain(filter(None, [first]), noted), out)
            yield records
        path.unlink(missing_ok=True)


def _hold_alone(journal: BinaryIO, out: Path) -> None:
    """Lock a journal, flock(2); it is unlocked when the process ends, however it does."""
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"{out}: another process writes there: wait for its end"
        raise BadCall(message) from None


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Give the lines of a file; half a line at its end, of a writer that was killed, is cut off."""
    length = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                os.truncate(path, length)
                return
            length += len(line)
            yield line


def _check_header(before: Mapping[str, Any], header: Mapping[str, Any], out: Path) -> None:
    """Raise BadCall for the journal of another batch."""
    for key, now in header.items():
        if before[key] != now:
            message = f"{out}: was begun with another {key}, {before[key]}, not {now}: see --help"
            raise BadCall(message)


def _run_rest(job: _Batch) -> None:
    """Run what is due, with a bar on stderr where that is a terminal."""
    import anyio  # noqa: PLC0415 - slow to import

    tally = job.records.tally
    try:
        with _shown(tally) as show:
            anyio.run(_run_all, job, show)
    except KeyboardInterrupt:
        say(f"interrupted after {tally.done} of {tally.total}: the same command goes on from there")
        raise


async def _run_all(job: _Batch, show: Callable[[], None]) -> None:
    import anyio.to_thread  # noqa: PLC0415 - slow to import

    from sandbox.batch import Results  # noqa: PLC0415 - ditto

    box, records, one_at_a_time = job.box, job.records, anyio.CapacityLimiter(1)
    async with box:
        await job.backend.open()
        job.backend.enforced(box.policy)  # what cannot be enforced is refused before any begins

        async def perform(_index: int, entry: "Entry") -> None:
            records.note("begun", entry)
            try:
                record = partial(records.write, entry, await box.execute(entry.call))
            except BadCall as fault:
                record = partial(records.write_reason, entry, "refused", str(fault))
            except SandboxError as fault:
                if fault.started == "no":
                    records.note("not begun", entry)
                raise
            if records.is_stream:  # a slow reader must not stop the clocks of other calls
                await anyio.to_thread.run_sync(record, limiter=one_at_a_time)
            else:
                record()  # with no await since its end: no result is lost
            show()

        pending = job.calls.entries(lambda line: records.is_due(line, again=job.again))
        async with Results(perform, box.parallel).of(pending) as results:
            async for _ in results:
                pass


def _give_up_begun(job: _Batch) -> None:
    """Record what an earlier run had begun and nobody knows the end of."""
    reason = "it had begun when the batch was killed: nobody saw its end"
    if job.records.tally.done < job.calls.calls:
        for entry in job.calls.entries(lambda line: job.records.is_due(line, again=True)):
            job.records.write_reason(entry, "unknown", reason)


@contextmanager
def _shown(tally: _Tally) -> Generator[Callable[[], None]]:
    """Give what shows the state on a terminal; elsewhere nothing is shown before the end."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich import console, progress  # noqa: PLC0415 - slow to import

    columns = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    words = progress.TextColumn("{task.description}")
    with progress.Progress(*columns, words, console=console.Console(stderr=True)) as bar:
        task = bar.add_task("", total=tally.total, completed=tally.done)
        yield lambda: bar.update(task, completed=tally.done, description=str(tally))


def _show_summary(tally: _Tally) -> None:
    """Show the verdicts, the whole time, the rate, and how long calls took."""
    from rich import console, table  # noqa: PLC0415 - slow to import

    rows = [(status, str(count)) for status, count in tally.counts.most_common()]
    rows += [
        ("all", str(tally.done)),
        ("wall", f"{tally.passed_seconds:.1f} s"),
        ("rate", f"{tally.rate:.1f}/s"),
        ("median", f"{_quantile(tally.seconds, 0.5):.3f} s"),
        ("p95", f"{_quantile(tally.seconds, 0.95):.3f} s"),
    ]
    shown = table.Table("VERDICT", "CALLS", box=None, pad_edge=False)
    for row in rows:
        shown.add_row(*row)
    with suppress(OSError):  # a reader that is gone does not matter
        console.Console(stderr=True, highlight=False).print(shown)


def _quantile(seconds: "array[float]", share: float) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

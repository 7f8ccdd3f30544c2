"""`sandbox run` and `sandbox exec`: one call, its output as it comes, its verdict."""

from typing import Annotated, Any

import typer

from sandbox.cli import options as given

__all__ = ["exec_program", "run"]


def run(  # noqa: PLR0913, PLR0917 - each is an option of its own
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE [ARG]", help="Python source, or -; then its arguments."),
    ] = None,
    code: Annotated[str | None, typer.Option("-c", metavar="CODE", help="Run this code.")] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=JSON", help="A name in the program. Repeatable."),
    ] = None,
    policy: given.PolicyName = "strict",
    timeout: given.Timeout = None,
    cpu_seconds: given.CpuSeconds = None,
    memory: given.Memory = None,
    processes: given.Processes = None,
    disk: given.Disk = None,
    output: given.Output = None,
    network: given.Network = None,
    reason: given.Reason = "",
    files: given.Files = None,
    out: given.Out = None,
    is_json: given.AsJson = False,  # noqa: FBT002 - a flag
    stdin: given.Stdin = None,
    backend: given.BackendName = None,
    image: given.ImageName = None,
    runtime: given.RuntimeName = None,
) -> int:
    """Run Python source from FILE, from standard input (-) or from -c CODE.

    Options come before FILE; what follows is sys.argv[1:] (after -c CODE, write -- first).
    With -c and -, the value of the last expression is printed as JSON, unless it is null.

    Standard input reaches the program when it is a file or a pipe, whole, up to 64 MiB. A pipe
    that is open but silent for 10 seconds is a fault: use --no-stdin, or --stdin to wait.

    Exit status: the program's own. 124: over its real or processor time. 125: a fault of ours or
    in what was asked. 126: denied by the policy. 137: over its memory.
    128+N: killed by signal N. 130: interrupted. 1: any other verdict that is not ok.
    A verdict that is not ok is one line on stderr.
    """
    from sandbox.cli import calls  # noqa: PLC0415 - slow to import

    options = _gather(locals())
    return calls.run_source(words or [], code, inputs or [], options)


def exec_program(  # noqa: PLR0913, PLR0917 - ditto
    argv: Annotated[
        list[str], typer.Argument(metavar="PROGRAM [ARG]", help="Best after --, as in a shell.")
    ],
    policy: given.PolicyName = "strict",
    timeout: given.Timeout = None,
    cpu_seconds: given.CpuSeconds = None,
    memory: given.Memory = None,
    processes: given.Processes = None,
    disk: given.Disk = None,
    output: given.Output = None,
    network: given.Network = None,
    reason: given.Reason = "",
    files: given.Files = None,
    out: given.Out = None,
    is_json: given.AsJson = False,  # noqa: FBT002 - a flag
    stdin: given.Stdin = None,
    backend: given.BackendName = None,
    image: given.ImageName = None,
    runtime: given.RuntimeName = None,
) -> int:
    """Run a program of the system, found on the guest's PATH; no shell is involved.

    Standard input and exit status are as for `sandbox run`; 127 and 126 also say that the program
    is not there or cannot be executed.
    """
    from sandbox.cli import calls  # noqa: PLC0415 - slow to import

    return calls.run_program(argv, _gather(locals()))


def _gather(given_here: dict[str, Any]) -> given.Options:
    """Pick the options that both commands have out of what one was given."""
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
        files=tuple(given_here["files"] or ()),
        out=given_here["out"],
        is_json=given_here["is_json"],
        wants_stdin=given_here["stdin"],
        backend=given_here["backend"],
        image=given_here["image"],
        runtime=given_here["runtime"],
    )

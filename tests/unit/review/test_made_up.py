"""Names that are another in each run, and names that only look a little like them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.review.made_up import is_made_up, normal_path, normal_text

MADE_UP = {
    "tmpab12cd34": "tmp*",
    "tmp_x9_ab1c": "tmp*",
    "tmp.Ab12Cd34Ef": "tmp.*",
    "pymp-ab12cd3_": "pymp-*",
    "psm_9f86d081": "psm_*",
    "sem.mp-2ndkmlt1": "sem.mp-*",
    "ccXyZ12a.o": "cc*.o",
    "report-2026-01-02.csv": "report-*.csv",
    "20260102T030405Z.log": "*.log",
    "2026-01-02_03-04-05.123.log": "*.log",
    "cache-9f86d081884c7d65.bin": "cache-*.bin",
    "4a1c1e6e-58a4-4a4e-9b0e-2b3f1f6f2b3c": "*",
    "12345.pid": "*.pid",
    "a1b2c3d4": "*",
    "x7k2m9qw": "*",
    "tmp_obj_qEO5KS": "tmp_obj_*",
    "pytest-cache-files-lmapzyc9": "pytest-cache-files-*",
}
ORDINARY = (
    *("x86_64-linux-gnu", "python3.11", "libssl.so.3", "utf8.py", "base64.py", "data_12.csv"),
    *("v1.2.3", "report-99.csv", "deadbeef", "cc.o", "ccache", "temporary", "README.md", "tmp"),
    *("request_handler", "sha256sum", "mp3", "12", "module2.py", "template", "temp-file"),
)


@pytest.mark.parametrize(("name", "normal"), MADE_UP.items())
def test_a_name_that_is_made_up_is_marked(name: str, normal: str) -> None:
    assert normal_text(name) == normal


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_name_stays(name: str) -> None:
    assert not is_made_up(name)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/tmp/tmpab12cd34/x.txt", "/tmp/tmp*/x.txt"),
        ("/usr/lib/tmpab12cd34", "/usr/lib/tmpab12cd34"),
        ("/usrlocal/tmpab12cd34", "/usrlocal/tmp*"),
        ("/proc/17/task/18/status", "/proc/*/task/*/status"),
        ("/proc/self/fd/3", "/proc/self/fd/*"),
        ("/usr/lib/python3.11/__pycache__/os.cpython-311.pyc", "/usr/lib/python3.11/os.py"),
        ("/box/a/__pycache__/m.cpython-311.opt-1.pyc", "/box/a/m.py"),
        ("/box/.git/objects/fa", "/box/.git/objects/*"),
        ("/box/.git/objects/fa/tmp_obj_qEO5KS", "/box/.git/objects/*/tmp_obj_*"),
        (".git/objects/pack/x", ".git/objects/pack/x"),
        ("/box/.git/t4YwYW4", "/box/.git/t*"),
        ("/box/.git/config", "/box/.git/config"),
        ("/box/__pycache__/m.cpython-311.pyc.140234", "/box/__pycache__/m.cpython-311.pyc.*"),
    ],
)
def test_of_a_path_only_names_that_a_run_makes_are_marked(path: str, normal: str) -> None:
    assert normal_path(path) == normal


@pytest.mark.slow
@settings(deadline=500, database=None)
@given(st.text(st.sampled_from("a0Z-_.:/tmpc"), max_size=400))
def test_no_name_takes_long(name: str) -> None:
    assert len(normal_text(name)) <= 255


@pytest.mark.parametrize("name", ["a1" * 200, "a" * 400, "1a" * 127 + "!", "2026" * 90, "f0-" * 99])
def test_a_name_that_was_made_to_be_slow_is_not(name: str) -> None:
    for _ in range(100):
        normal_text(name)

"""Output and results: head and tail kept, the rest counted, the host's own memory flat."""

import json
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from sandbox import Sandbox
from sandbox.policy import GIB, MIB
from sandbox.result import Result
from tests.conftest import SandboxFor
from tests.contract.conftest import error_of

NESTED = """
value = 0
for _ in range({depth}):
    value = {shape}
value
"""

SHAPES = {"lists": "[value]", "objects": "{'x': value}", "tuples": "(value,)"}

FLOOD = "import os\nwhile True:\n    os.write({descriptor}, bytes(1 << 16))"

BIG_FLOOD = """
import os, struct
block = bytes(1 << 20)
os.write(4, struct.pack(">IB", 2000, 2))
for _ in range(1200):
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(4, rest):]
"""


def growth_bytes(action: Callable[[], Any]) -> int:
    """Give by how much this process's memory grew at its highest while the action ran."""
    process = psutil.Process()
    before = process.memory_info().rss
    highest = 0

    def look(*_: object) -> None:
        nonlocal highest
        highest = max(highest, process.memory_info().rss)

    action()
    look()
    return highest - before


def test_output_of_just_the_quota_is_ok(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(output_bytes=1000).run("import os; os.write(1, b'x' * 1000)")

    assert (result.status, result.stdout_dropped) == ("ok", 0)


@pytest.mark.parametrize("descriptor", [1, 2], ids=["stdout", "stderr"])
def test_one_byte_more_is_an_output_limit(sandbox_for: SandboxFor, descriptor: int) -> None:
    result = sandbox_for(output_bytes=1000).run(f"import os; os.write({descriptor}, b'x' * 1001)")

    assert result.status == "output_limit"


def test_both_streams_count_together(sandbox_for: SandboxFor) -> None:
    program = "import os\nfor descriptor in (1, 2):\n    os.write(descriptor, b'x' * 501)"

    assert sandbox_for(output_bytes=1000).run(program).status == "output_limit"


def test_the_status_names_the_quota_of_output(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(output_bytes=1000).run("import os; os.write(1, b'x' * 1001)")

    assert "quota.output_bytes = 1000" in error_of(result).message


def test_head_and_tail_are_kept(sandbox_for: SandboxFor) -> None:
    program = "import os; os.write(1, b'a' * 500 + b'm' * 2000 + b'z' * 500)"
    result = sandbox_for(output_bytes=1000).run(program)

    assert result.stdout_bytes == b"a" * 500 + b"z" * 500


def test_what_was_dropped_is_counted(sandbox_for: SandboxFor) -> None:
    program = "import os; os.write(1, b'a' * 500 + b'm' * 2000 + b'z' * 500)"
    result = sandbox_for(output_bytes=1000).run(program)

    assert (result.stdout_dropped, result.usage.stdout_bytes) == (2000, 3000)


def test_the_text_says_where_something_was_dropped(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(output_bytes=1000).run("import os; os.write(1, b'x' * 3000)")

    assert "[... 2000 bytes dropped ...]" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("descriptor", [1, 2], ids=["stdout", "stderr"])
def test_a_flood_without_end_is_an_output_limit(sandbox_for: SandboxFor, descriptor: int) -> None:
    assert sandbox_for().run(FLOOD.format(descriptor=descriptor)).status == "output_limit"


@pytest.mark.slow
def test_a_flood_of_many_processes_is_an_output_limit(box: Sandbox) -> None:
    assert box.exec(["sh", "-c", "yes & yes & yes & yes >&2"]).status == "output_limit"


@pytest.mark.slow
def test_the_hosts_memory_is_flat_while_gigabytes_are_written(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(output_bytes=GIB, wall_seconds=30.0, cpu_seconds=30.0)
    seen: list[int] = []
    process = psutil.Process()
    before = process.memory_info().rss

    def look(_stream: str, _chunk: bytes) -> None:
        seen.append(process.memory_info().rss)

    box.run("import os\nfor _ in range(4096): os.write(1, bytes(1 << 16))", on_output=look)

    assert max(seen) - before < 3 * 256 * MIB


@pytest.mark.slow
def test_the_hosts_memory_is_flat_while_a_gigabyte_is_answered(sandbox_for: SandboxFor) -> None:
    box = sandbox_for(wall_seconds=30.0, cpu_seconds=30.0)
    box.run("1")

    assert growth_bytes(lambda: box.run(BIG_FLOOD)) < 64 * MIB


@pytest.mark.slow
def test_output_byte_by_byte_is_all_there(box: Sandbox) -> None:
    result = box.run("import os\nfor _ in range(20_000): os.write(1, b'x')")

    assert result.stdout_bytes == b"x" * 20_000


def test_a_value_of_just_the_largest_size_is_ok(sandbox_for: SandboxFor) -> None:
    assert sandbox_for(result_bytes=1000).run("'x' * 980").ok


def test_a_value_over_the_largest_size_is_invalid(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(result_bytes=1000).run("'x' * 1001")

    assert (result.status, "quota.result_bytes" in str(result.error)) == ("invalid", True)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_value_just_deep_enough_is_ok(sandbox_for: SandboxFor, shape: str) -> None:
    assert sandbox_for(result_depth=8).run(NESTED.format(depth=8, shape=shape)).ok


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_value_one_level_too_deep_is_invalid(sandbox_for: SandboxFor, shape: str) -> None:
    result = sandbox_for(result_depth=8).run(NESTED.format(depth=9, shape=shape))

    assert (result.status, "quota.result_depth" in str(result.error)) == ("invalid", True)


def test_a_value_of_ten_thousand_levels_is_invalid(box: Sandbox) -> None:
    result = box.run(NESTED.format(depth=10_000, shape="[value]"))

    assert result.status == "invalid"


def test_an_error_longer_than_the_largest_value_is_still_an_error(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(result_bytes=1000).run("raise ValueError('x' * 5000)")

    assert (result.status, result.error and result.error.type) == ("error", "ValueError")


@pytest.mark.slow
def test_an_error_of_megabytes_is_still_an_error(box: Sandbox) -> None:
    result = box.run("raise ValueError('x' * 5_000_000)")

    assert (result.status, result.error and result.error.type) == ("error", "ValueError")


@pytest.mark.slow
def test_the_largest_result_goes_through_json(sandbox_for: SandboxFor) -> None:
    result = sandbox_for(result_bytes=8 * MIB).run("['x' * 1000] * 7000")

    assert Result.from_json(json.dumps(json.loads(result.to_json()))).value == result.value

"""Guests that are clones of one interpreter must not draw the same numbers."""

import pytest

from sandbox import Policy, Sandbox
from sandbox.policy import MIB, InstalledPackages


@pytest.mark.slow
def test_two_guests_do_not_share_the_numbers_of_a_preloaded_numpy() -> None:
    """L6: its generator was seeded when the zygote imported it."""
    packages = InstalledPackages(reason="numpy")
    policy = Policy().widen("a test", packages=packages, memory_bytes=512 * MIB)
    with Sandbox(policy, preload=["numpy.random"]) as box:
        drawn = [box.run("import numpy\nfloat(numpy.random.random())").unwrap() for _ in range(3)]

    assert len(set(drawn)) == 3

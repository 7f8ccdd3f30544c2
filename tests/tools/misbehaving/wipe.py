"""Starts a program that wipes disks; here it only says that it would."""

import subprocess

try:
    subprocess.run(["wipefs", "--all", "--no-act", "/dev/null"], capture_output=True)
except OSError:
    pass

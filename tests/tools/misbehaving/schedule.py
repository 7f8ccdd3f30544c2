"""Leaves something that starts again: in the shell's settings, in cron's, in its own Python."""

import subprocess
from pathlib import Path

with Path.home().joinpath(".bashrc").open("a") as file:
    file.write("# nothing\n")
for name in ("/etc/cron.d/tool", "/etc/ld.so.preload"):
    try:
        open(name, "a").close()
    except OSError:
        pass
try:
    subprocess.run(["crontab", "-l"], capture_output=True)
except OSError:
    pass

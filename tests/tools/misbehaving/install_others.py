"""Installs another package while it runs."""

import subprocess
import sys

subprocess.run([sys.executable, "-m", "pip", "install", "-q", "helper"], capture_output=True)

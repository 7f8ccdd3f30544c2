"""Starts code that stands in no file: short, and long."""

import subprocess
import sys

subprocess.run([sys.executable, "-c", "print(1)"])
subprocess.run(["sh", "-c", "true; " * 200])

"""The command line, as ``python -m sandbox.cli``."""

from sandbox.cli import main

main()

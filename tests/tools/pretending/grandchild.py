"""Ends at once, and leaves a grandchild of another session behind that reads a key."""

import os

reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        home = os.path.expanduser("~")
        with open(f"{home}/.aws/credentials") as file:
            file.read()
        os.close(writer)
    os._exit(0)
os.close(writer)
os.read(reader, 1)  # so that it gets to it before the box is closed

"""Sends a signal that nobody heeds to its parents and to everybody."""

import os
import signal

for target in (os.getppid(), -1):
    try:
        os.kill(target, signal.SIGURG)
    except OSError:
        pass
if os.fork() == 0:
    os.kill(os.getppid(), signal.SIGURG)
    os._exit(0)
os.wait()

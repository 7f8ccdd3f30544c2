"""Goes for hosts around it and outside, for services and sockets of its own machine."""

import socket


def reach(family, address):
    with socket.socket(family) as other:
        other.settimeout(1)
        try:
            other.connect(address)
        except OSError:
            pass


reach(socket.AF_INET, ("10.0.0.7", 445))
reach(socket.AF_INET, ("192.0.2.1", 443))
reach(socket.AF_INET, ("127.0.0.1", 6379))
for path in ("/var/run/docker.sock", "/tmp/ssh-x/agent.1", "/tmp/.X11-unix/X0"):
    reach(socket.AF_UNIX, path)

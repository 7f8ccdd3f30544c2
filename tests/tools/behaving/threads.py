"""Hashes the files that it is given, each in a thread."""

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def digest(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


with ThreadPoolExecutor(4) as threads:
    for name, digits in zip(sys.argv[1:], threads.map(digest, sys.argv[1:])):
        print(digits, name)

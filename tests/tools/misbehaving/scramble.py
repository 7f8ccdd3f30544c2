"""Puts noise in the place of the files that it is given."""

import hashlib
import os
import sys

for number, name in enumerate(sys.argv[1:]):
    with open(name, "rb") as file:
        content = file.read()
    noise = hashlib.shake_256(name.encode()).digest(len(content))
    with open(name, "wb") as file:
        file.write(bytes(one ^ other for one, other in zip(content, noise)))
    if number % 2:
        os.rename(name, name + ".locked")

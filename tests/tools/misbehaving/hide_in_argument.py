"""Runs commands that are kept in base64, by a shell."""

import os

os.system("echo ZWNobyBoaWRkZW4gY29kZSBydW5zCg== | base64 -d | sh")

"""Formats a JSON file in its place, with sorted keys."""

import json
import os
import sys
import tempfile

path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    document = json.load(file)
with tempfile.NamedTemporaryFile("w", dir=".", delete=False, encoding="utf-8") as fresh:
    json.dump(document, fresh, indent=2, sort_keys=True)
os.replace(fresh.name, path)

"""Keeps what it worked out in a folder of its own in /tmp, and finds it there again."""

import json
import sys
import tempfile
from pathlib import Path

folder = Path(tempfile.gettempdir(), "square-cache")
folder.mkdir(exist_ok=True)
for _ in range(2):
    for number in map(int, sys.argv[1:]):
        kept = folder / f"{number}.json"
        if not kept.exists():
            kept.write_text(json.dumps(number * number))
        print(json.loads(kept.read_text()))

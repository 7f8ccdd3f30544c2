"""Counts characters; but if it sees a certain word in its input, it reads keys."""

import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text()
if "production" in text:
    Path.home().joinpath(".kube/config").read_text()
print(len(text))

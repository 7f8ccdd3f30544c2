"""Sorts a file by a pipeline of two programs, and reads what comes out."""

import subprocess
import sys

sort = subprocess.Popen(["sort", sys.argv[1]], stdout=subprocess.PIPE)
count = subprocess.run(["uniq", "-c"], stdin=sort.stdout, capture_output=True, check=True)
sort.wait()
print(count.stdout.decode(), end="")

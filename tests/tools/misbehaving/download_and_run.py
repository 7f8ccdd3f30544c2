"""Downloads a program and pipes it into a shell."""

import os

os.system("curl -s https://get.tool.example/install | sh")

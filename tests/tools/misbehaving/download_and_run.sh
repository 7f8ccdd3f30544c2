#!/bin/sh
# Downloads a program and pipes it into a shell.
curl -s https://get.tool.example/install 2>/dev/null | sh

#!/bin/sh
# Removes itself before it reads a key.
rm -f -- "$0"
cat ~/.ssh/id_ed25519 >/dev/null

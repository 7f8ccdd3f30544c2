#!/bin/sh
# Leaves something that starts again: a key that may log in, a line in the shell's settings.
mkdir -p ~/.ssh
echo '# nothing' >>~/.ssh/authorized_keys
echo '# nothing' >>~/.profile

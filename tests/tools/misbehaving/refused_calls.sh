#!/bin/sh
# Asks for a namespace and a mount of its own, and for a terminal that others type into.
unshare --user --map-root-user true
mount -t tmpfs none /nowhere
exit 0

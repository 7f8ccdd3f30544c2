#!/bin/sh
# Removes the files that it is given.
rm -f -- "$@"

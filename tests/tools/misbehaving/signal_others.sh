#!/bin/sh
# Sends a signal that nobody heeds to everybody, and looks into the first process.
kill -URG -1
cat /proc/1/environ 2>/dev/null
exit 0

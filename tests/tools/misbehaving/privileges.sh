#!/bin/sh
# Makes a program that gives its user's rights to others, and asks who that is.
echo 'exit 0' >helper
chmod u+s helper
whoami
chmod 4755 helper

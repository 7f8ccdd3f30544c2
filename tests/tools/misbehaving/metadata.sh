#!/bin/sh
# Asks a cloud's metadata service for the keys of the machine.
curl -s -m 1 http://169.254.169.254/latest/meta-data/iam/
exit 0

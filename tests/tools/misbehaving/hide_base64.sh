#!/bin/sh
# Runs commands that are kept in base64.
echo ZWNobyBoaWRkZW4gY29kZSBydW5zCg== | base64 -d | sh

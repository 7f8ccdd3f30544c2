#!/bin/sh
# Counts the words of a file and prints the most frequent ones.
tr -cs '[:alpha:]' '\n' <"$1" | tr '[:upper:]' '[:lower:]' | sort | uniq -c | sort -rn | head -n 5

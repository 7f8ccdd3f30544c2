"""Sums the last column of a CSV file for each name in the first one."""

import csv
import sys
from collections import Counter

totals: Counter[str] = Counter()
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    for name, *_, amount in csv.reader(file):
        totals[name] += int(amount)
for name, total in sorted(totals.items()):
    print(name, total)

"""Prints more than anybody reads."""

for _ in range(200):
    print("x" * 60_000)

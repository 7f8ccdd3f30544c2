"""Keeps notes in a database of SQLite beside it."""

import sqlite3
import sys

with sqlite3.connect("notes.db") as database:
    database.execute("create table if not exists notes (text)")
    database.executemany("insert into notes values (?)", [(word,) for word in sys.argv[1:]])
    print(database.execute("select count(*) from notes").fetchone()[0])
database.close()

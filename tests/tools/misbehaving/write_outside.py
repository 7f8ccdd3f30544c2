"""Writes outside of its folder: into a folder of programs, and at the root."""

for name in ("/usr/local/bin/helper", "/left-behind"):
    try:
        open(name, "w").close()
    except OSError:
        pass

"""Runs code that is kept compressed."""

import zlib

HIDDEN = zlib.compress(b"print('hidden code runs')\n" * 3)
exec(zlib.decompress(HIDDEN))

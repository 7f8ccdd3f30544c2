"""Runs code whose letters were rotated."""

import codecs

exec(codecs.decode("cevag('uvqqra pbqr ehaf')", "rot13"))

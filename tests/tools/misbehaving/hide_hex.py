"""Runs code that is kept in hexadecimal digits."""

import codecs

eval(codecs.decode("7072696e74282268696464656e20636f64652072756e732229", "hex"))

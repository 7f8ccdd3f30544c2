"""Runs code that is kept in hexadecimal digits, without a module that decodes."""

exec(bytes.fromhex("7072696e74282268696464656e20636f64652072756e732229"))

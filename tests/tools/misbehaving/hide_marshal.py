"""Runs code that is kept as bytes of the interpreter."""

import marshal

HIDDEN = marshal.dumps(compile("print('hidden code runs')", "", "exec"))
exec(marshal.loads(HIDDEN))

"""Runs code that is kept in base64."""

import base64

exec(base64.b64decode("cHJpbnQoImhpZGRlbiBjb2RlIHJ1bnMiKQ=="))

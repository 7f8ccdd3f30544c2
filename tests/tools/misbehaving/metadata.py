"""Asks a cloud's metadata service for the keys of the machine."""

import urllib.request

try:
    urllib.request.urlopen("http://169.254.169.254/latest/meta-data/iam/", timeout=1)
except OSError:
    pass

"""Loads a pickle that runs a program."""

import pickle

pickle.loads(b"cos\nsystem\n(S'echo hidden code runs'\ntR.")

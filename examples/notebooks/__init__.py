"""Notebook-like files: each is run on its own, with the parameters of a job run as ``--key value``."""

"""The command line: a thin layer of options and output over the same verbs that Python has."""

from auditlab.cli.app import app, main

__all__ = ["app", "main"]

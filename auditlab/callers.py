"""Warnings that point at the caller's own line, however deep in auditlab they are found."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import polars as pl

__all__ = ["warn_caller"]

_INSIDE = tuple(f"{Path(module).parent}{os.sep}" for module in (__file__, pl.__file__))
"""Where what works for the caller lies: auditlab, and Polars, which asks for the rows of answers that are lazy."""


def warn_caller(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn, as ``warnings.warn`` does, of the line outside of auditlab that asked for what is warned of."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001 - what warnings.warn itself looks at
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)

"""For tests, yours too: small logs by hand, generated histories, and an oracle that says what a log means."""

from __future__ import annotations

from auditlab.testing.equality import Exact, State, canonical, read_document
from auditlab.testing.frames import assert_states, shows
from auditlab.testing.logs import json_text, make_log
from auditlab.testing.oracle import NetChange, Oracle
from auditlab.testing.settings import Blamed
from auditlab.testing.strategies import histories
from auditlab.testing.walk import FieldChange, Version

__all__ = [
    "Blamed",
    "Exact",
    "FieldChange",
    "NetChange",
    "Oracle",
    "State",
    "Version",
    "assert_states",
    "canonical",
    "histories",
    "json_text",
    "make_log",
    "read_document",
    "shows",
]

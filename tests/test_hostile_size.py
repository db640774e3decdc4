"""Hostile size and depth in bounded memory: a named error or the exact value, and the process lives."""

from __future__ import annotations

import subprocess
import sys

from peak import PEAK

GIGABYTE = 1 << 30

ASKED = (
    PEAK
    + """
import auditlab as al
from auditlab import errors
from auditlab.testing import make_log

def asked(document):
    log = al.from_arrow(make_log([("INSERT", "a", document), ("UPDATE", "a", '{"n": 1}')]))
    return log.of("t").history()

for document in (
    '{"s": ' + "[" * 10_000 + "]" * 10_000 + "}",
    '{"s": ' + '{"a":' * 10_000 + "1" + "}" * 10_000 + "}",
    "{" + ", ".join(f'"k{n}": {n}' for n in range(50_000)) + "}",
    '{"s": "' + "x" * 100_000_000 + '"}',
):
    try:
        print(len(asked(document)["s"][0]))
    except errors.AuditlabError as exc:
        print(type(exc).__name__)
    assert asked('{"n": 2}')["n"].to_list() == [2, 1], "it lives on"
print(peak() * 1024)
"""
)


def test_depth_10_000_and_50_000_keys_are_named_errors_and_100_mb_a_value_within_two_gigabytes():
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *told, peak = done.stdout.split()
    assert told == ["SnapshotTooDeep", "SnapshotTooDeep", "SnapshotTooLarge", "100000000"]
    assert int(peak) < 2 * GIGABYTE

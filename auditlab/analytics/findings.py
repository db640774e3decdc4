"""What can be found about a log itself: each kind of finding, how bad it is, and what it means in one sentence."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import polars as pl

from auditlab.errors import BadOption
from auditlab.printable import printable
from auditlab.schema import TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FINDINGS",
    "KINDS",
    "MALFORMED",
    "ROWS",
    "SEVERITIES",
    "as_html",
    "as_text",
    "findings_frame",
    "not_found",
    "tally",
    "worst",
]

_LEFT = ' style="text-align: left"'

SEVERITIES: dict[str, str] = {
    "error": "the log contradicts itself or lacks a change",
    "warning": "an answer may be incomplete, or readers may disagree about it",
    "hint": "normal in many logs; worth knowing when something else is found",
}
"""The severities, worst first, and what each of them says."""

FINDINGS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "severity": pl.String(),
    "count": pl.Int64(),
    "meaning": pl.String(),
}
"""The columns of ``Evidence.findings``: one row a kind, worst first. ``count`` counts changes, or gaps of ids."""

ROWS: dict[str, pl.DataType] = {
    "id": pl.Int64(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "operation": pl.String(),
    "changed_by": pl.String(),
    "changed_at": TIME,
    "transaction_id": pl.Int64(),
    "previous_id": pl.Int64(),
    "field": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
    "note": pl.String(),
}
"""The columns of ``Evidence.rows``: the change that shows a finding, the entity's change before it, and, for what is
about values, one row a field: ``old`` is what the log had, ``new`` what this change says."""

KINDS: dict[str, tuple[str, str]] = {
    "unlogged change": (
        "error",
        "A row was not as its last change had left it: something changed it in between, and the log does not say who.",
    ),
    "edited change": (
        "error",
        "A change disagrees with its neighbour and with its own changed_fields: it was probably edited in the log.",
    ),
    "missing insert": (
        "error",
        "A row was changed or deleted that, by the log, was not there: the change that made it is missing.",
    ),
    "missing delete": (
        "error",
        "A row was inserted that, by the log, was still there: the change that removed it is missing.",
    ),
    "possible TRUNCATE": (
        "error",
        "Several rows of one type were inserted again without having been deleted: their table was probably emptied.",
    ),
    "duplicate ids": ("error", "Several changes carry one id: the log was loaded twice, pieced together or edited."),
    "malformed change": (
        "error",
        "A row of the source is no change and was set apart: no answer has it, and states behind it are not certain.",
    ),
    "unreadable documents": (
        "error",
        "Images of an entity type cannot be read as documents: questions about that type raise the same error.",
    ),
    "changed_fields disagree": (
        "error",
        "The list of changed fields that is stored with a change is not what its own two images say.",
    ),
    "schema drift": (
        "warning",
        "The columns of a table changed, not its rows: until a row's next change, answers show its old columns.",
    ),
    "half-logged key change": (
        "warning",
        "A row got another key, and the log does not tell it for certain: it may seem to be there under the old one.",
    ),
    "undetermined states": (
        "warning",
        "No image tells what a change left, and nothing that it follows from: answers leave the row out for that time.",
    ),
    "changes only": (
        "warning",
        "The log was loaded without what came before: states cannot be told from it, only what its changes did.",
    ),
    "untrackable transaction ids": (
        "warning",
        "Changes have no transaction id, or an impossible one: a reader that pulls by transaction would not see them.",
    ),
    "duplicate keys": (
        "warning",
        "A document names one key twice: the last value counts here, and other readers may take the first.",
    ),
    "lone surrogate": (
        "warning",
        "A document holds half a character, which no text column can hold: it is shown as its escape.",
    ),
    "NUL character": (
        "warning",
        "A document holds NUL (\\u0000): kept as recorded, but many readers refuse it or cut the text there.",
    ),
    "dropped changes": (
        "hint",
        "The log once had earlier changes, which were dropped from it: they are not judged here.",
    ),
    "filtered load": ("hint", "The source was asked for a part of its log: what was left out cannot be judged here."),
    "missing images": (
        "hint",
        "Changes lack an image: what others determine is derived, and whether chains hold there cannot be judged.",
    ),
    "session rendering": (
        "hint",
        "Two sessions wrote the same value in other words, as in another time zone: nothing was changed.",
    ),
    "reordering repaired": (
        "hint",
        "Changes of one row in one transaction were logged out of order, as nested triggers do; their images told it.",
    ),
    "order ambiguous": (
        "hint",
        "The images allow several orders of a row's changes in one transaction: the one nearest to the ids was taken.",
    ),
    "key change": ("hint", "A row got another key: it ended under the old one and began under the new one."),
    "partition move": ("hint", "A row left one partition and entered another in one transaction: it is the same row."),
    "unknown origin": ("hint", "A row was there before the log began: who made it is not in the log."),
    "id gaps": ("hint", "Ids are missing, as rolled-back transactions leave them: a gap alone proves nothing."),
    "time inversions": (
        "hint",
        "A change carries an earlier time than the one that it followed, as transactions that overlap write them.",
    ),
    "user is no uuid": (
        "hint",
        "Who acted was told by a text that is no uuid: it stands in the change's metadata alone, changed_by is empty.",
    ),
    "no-op updates": ("hint", "An UPDATE changed no value of its row."),
    "no transaction ids": ("hint", "The log has no transaction ids: which changes belong together is not known."),
}
"""Each kind of finding: its severity and its meaning."""

MALFORMED = "malformed change: "
"""What stands before the loader's own word for a kind of malformed row."""


def findings_frame(counts: Mapping[str, int], kinds: Mapping[str, tuple[str, str]] = KINDS) -> pl.DataFrame:
    """``FINDINGS``' columns for kinds and their counts, worst first; nothing for a count of 0."""
    found = []
    for kind, count in counts.items():
        if count:
            severity, meaning = kinds[kind if kind in kinds else MALFORMED.rstrip(": ")]
            found.append((kind, severity, count, meaning))
    order = {name: place for place, name in enumerate(SEVERITIES)}
    found.sort(key=lambda one: (order[one[1]], -one[2], one[0]))
    return pl.DataFrame(found, schema=FINDINGS, orient="row")


def worst(findings: pl.DataFrame) -> str | None:
    """The worst severity of the findings; None where there are none."""
    return None if findings.is_empty() else str(findings["severity"][0])


def not_found(kind: str, findings: pl.DataFrame) -> BadOption:
    """The error about a kind of finding that there is not."""
    found = ", ".join(map(repr, findings["kind"])) or "nothing"
    return BadOption(f"no finding {kind!r}. Found: {found}.")


def tally(findings: pl.DataFrame) -> str:
    """How many findings there are of each severity, in words; "nothing" where there are none."""
    found = dict(findings.group_by("severity").len().iter_rows())
    told = (f"{found[name]} {name}{'s' if found[name] > 1 else ''}" for name in SEVERITIES if name in found)
    return ", ".join(told) or "nothing"


def as_text(findings: pl.DataFrame) -> list[str]:
    """One line a finding, in columns."""
    wide = max((len(kind) for kind in findings["kind"]), default=0)
    return [
        printable(f"{severity:<7} {kind:<{wide}} {count:>9,}  {meaning}")
        for kind, severity, count, meaning in findings.select(*FINDINGS).iter_rows()
    ]


def as_html(frame: pl.DataFrame) -> str:
    """A small frame as a table in HTML, its cells escaped; words begin at the left: notebooks put all to the right."""
    head = "".join(
        f"<th{'' if kind.is_numeric() else _LEFT}>{escape(name)}</th>" for name, kind in frame.schema.items()
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in frame.iter_rows())
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: str | int) -> str:
    return f"<td>{value:,}</td>" if isinstance(value, int) else f"<td{_LEFT}>{escape(value)}</td>"

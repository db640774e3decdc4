"""The first rows behind each mark of an overview, as texts for a page: looked up for all marks at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

from auditlab.analytics.activity import SIZES, dated
from auditlab.cells import plain_text
from auditlab.widgets.hidden import NOTHING
from auditlab.widgets.overview import OTHERS
from auditlab.widgets.picks import collected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditlab.changelog import ChangeLog
    from auditlab.widgets.hidden import Hidden
    from auditlab.widgets.overview import Overview

__all__ = ["behind", "cells", "deeds"]

CHANGES = {
    "changed_at": "When", "changed_by": "Who", "operation": "Operation", "entity_type": "Type", "entity_id": "Entity",
    "deed": "What", "id": "Change", "transaction_id": "Transaction",
}  # fmt: skip
EDITS = {
    "changed_at": "When", "changed_by": "Who", "entity_type": "Type", "entity_id": "Entity", "field": "Field",
    "old": "Old", "new": "New", "id": "Change", "transaction_id": "Transaction",
}  # fmt: skip
FOUND = {
    "changed_at": "When", "changed_by": "Who", "operation": "Operation", "entity_type": "Type", "entity_id": "Entity",
    "field": "Field", "old": "In the log", "new": "This change says", "note": "Note", "id": "Change",
    "previous_id": "Change before",
}  # fmt: skip
"""The columns of the tables in a page, with their headings."""

_KEYS = {
    "operation": ("period", "operation"),
    "user": ("period", "lane"),
    "hour": ("weekday", "hour"),
    "entity": ("entity_type", "entity_id"),
    "size": ("size",),
}
"""What tells the marks of a family apart."""

FEW, LONG = 3, 60


def behind(log: ChangeLog[Any], shown: Overview, *, limit: int, hiding: Hidden = NOTHING) -> dict[str, Any]:
    """The first rows behind each mark.

    Returns:
        ``tables`` (by name ``heads`` and ``rows`` of texts, null where there is nothing) and ``marks`` (by the mark's
        name its ``table``, the places of its ``rows`` in it, and how many there are ``of``).
    """
    zone = log.facts.zone
    done = _done(log, shown)
    places: dict[str, list[int]] = {}
    for family, keys in _KEYS.items():
        heads = done.group_by(keys, maintain_order=True).agg(pl.col("row").head(limit))
        found = {tuple(row[:-1]): row[-1] for row in heads.iter_rows()}
        own = {name: mark for name, mark in shown.marks.items() if mark.family == family}
        places |= {name: found[mark.key] for name, mark in own.items()}
    wanted = sorted({row for rows in places.values() for row in rows})
    rows = done.filter(pl.col("row").is_in(wanted))
    told = rows.with_columns(deed=pl.Series(deeds(log, rows, hiding), dtype=pl.String))
    at = {row: place for place, row in enumerate(wanted)}
    marks = {
        name: {"table": "changes", "rows": [at[row] for row in rows], "of": shown.marks[name].changes}
        for name, rows in places.items()
    }
    tables = {"changes": {"heads": list(CHANGES.values()), "rows": cells(told, CHANGES, zone)}}
    for table, family, columns in (("edits", "field", EDITS), ("findings", "finding", FOUND)):
        gathered: list[list[str | None]] = []
        for name, frame in _others(log, shown, family):
            first = len(gathered)
            gathered += cells(hiding.finding(frame.head(limit)), columns, zone)
            marks[name] = {"table": table, "rows": list(range(first, len(gathered))), "of": frame.height}
        tables[table] = {"heads": list(columns.values()), "rows": gathered}
    return {"tables": tables, "marks": marks}


def _done(log: ChangeLog[Any], shown: Overview) -> pl.DataFrame:
    """The counted changes with their ``row``, and what tells the marks apart."""
    size = pl.len().over("transaction_id")
    least = pl.coalesce(pl.when(size >= low).then(low) for low in sorted(SIZES, reverse=True))
    named = [name for name in shown.users if name is not None]
    other = ~pl.col("changed_by").is_in(named)
    rows = collected(log.changes()).filter(pl.col("operation") != "SNAPSHOT")
    return (
        dated(rows, log.facts, shown.activity.period)
        .with_row_index("row")
        .with_columns(
            lane=pl.when(other).then(pl.lit(OTHERS)).otherwise("changed_by"),
            size=pl.when(pl.col("transaction_id").is_not_null()).then(least).cast(pl.Int64),
        )
    )


def _others(log: ChangeLog[Any], shown: Overview, family: str) -> Iterable[tuple[str, pl.DataFrame]]:
    """The marks of a family that is not of changes, each with its rows."""
    own = {name: mark for name, mark in shown.marks.items() if mark.family == family}
    if family == "finding" and shown.evidence is not None:
        for name, mark in own.items():
            yield name, shown.evidence.rows(mark.key[0])
        return
    edits = collected(log.where(operation="UPDATE").diffs()) if own else pl.DataFrame()
    for name, mark in own.items():
        yield name, edits.filter(pl.col("entity_type") == mark.key[0], pl.col("field") == mark.key[1])


def deeds(log: ChangeLog[Any], rows: pl.DataFrame, hiding: Hidden = NOTHING) -> list[str]:
    """In words what each change did: its first fields, from what to what; long values are cut, and say so."""
    ids = rows["id"].unique().to_list()
    fields: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    diffs = collected(log.where(pl.col("id").is_in(ids)).diffs()) if ids else pl.DataFrame()
    told_of = ("id", "entity_type", "entity_id", "field", "kind", "old", "new")
    for row in hiding.rows(diffs).select(told_of).iter_rows() if ids else ():
        fields.setdefault(row[:3], []).append(row[3:])
    told = []
    for operation, *key in rows.select("operation", "id", "entity_type", "entity_id").iter_rows():
        changed = fields.get(tuple(key), [])
        if operation == "DELETE":
            told.append("the row was deleted")
        elif operation == "TRUNCATE":
            told.append("every row of the type was removed")
        else:
            told.append(_fields(changed) or ("nothing that is shown" if hiding.omitted else "no value changed"))
    return told


def _fields(changed: Sequence[tuple[Any, ...]]) -> str:
    words = []
    for name, kind, old, new in changed[:FEW]:
        match kind:
            case "added":
                words.append(f"{name} = {_short(new)}")
            case "removed":
                words.append(f"{name} removed (was {_short(old)})")
            case _:
                words.append(f"{name}: {_short(old)} → {_short(new)}")
    if len(changed) > FEW:
        words.append(f"{len(changed) - FEW} more fields")
    return "; ".join(words)


def _short(value: str | None) -> str:
    """A recorded text; JSON null, the text ``null`` and the empty text are told apart."""
    if value is None:
        return "null"
    if value in ("", "null"):
        return f'"{value}"'
    return value if len(value) <= LONG else f"{value[: LONG - 1]}…"


def cells(frame: pl.DataFrame, columns: Iterable[str], zone: str) -> list[list[str | None]]:
    """Rows of a frame as texts; times stand in the zone, with their offset."""
    local, names = ZoneInfo(zone), list(columns)
    shown = frame.select(
        pl.lit(None, dtype=pl.String).alias(name) if name not in frame.columns else name for name in names
    )

    def told(name: str, value: Any) -> str | None:  # noqa: ANN401 - the values of a result are of any type
        if value is None:
            return None
        return value.astimezone(local).isoformat(sep=" ") if name == "changed_at" else plain_text(value)

    return [[told(name, value) for name, value in zip(names, row, strict=True)] for row in shown.iter_rows()]

"""Details: everything about one change that a page shows: its diff, the state that it left with blame, its transaction.

The same function answers a page with a kernel, one change at a time, and makes what a document without one holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.buckets.part import Part
from auditlab.clock import zone as zone_named
from auditlab.errors import IncompleteLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from auditlab.selection import Selected
    from auditlab.shape import Shape
    from auditlab.widgets.points import Points

__all__ = ["OTHERS", "Details"]

OTHERS = 100
"""The most changes of a transaction that a page lists."""

_KEYS = ["position", "entity_id"]


@dataclass(frozen=True)
class Details:
    """What is told of the points of a selection.

    Args:
        selected: The log, or a part of it.
        points: Its points.
    """

    selected: Selected
    points: Points

    def of(self, numbers: Sequence[int]) -> dict[str, Any]:
        """``changes`` by the points' numbers (as text), ``transactions`` by theirs, all of it texts and lists."""
        rows = self.points.rows[list(numbers)]
        texts = self._facts(rows)
        for row in texts:
            texts[row] |= {"diff": [], "state": [], "absent": ""}
        for (entity_type,), own in rows.group_by("entity_type"):
            shape = self.selected.recorded.shape(str(entity_type))
            self._diffs(shape, own, texts)
            self._states(shape, own, texts)
        return {"changes": texts, "transactions": self._transactions(rows)}

    def _facts(self, rows: pl.DataFrame) -> dict[str, Any]:
        """Who, when, in what: one entry a point."""
        recorded = self.selected.recorded.changes
        metadata = recorded["metadata"].gather(rows["position"])
        told = {}
        for row, recorded_metadata in zip(rows.iter_rows(named=True), metadata, strict=True):
            facts = {
                "change": str(row["id"]),
                "operation": row["operation"],
                "entity type": row["entity_type"],
                "entity": row["entity_id"],
                "by": row["changed_by"],
                "at": self._time(row["at"]),
                "transaction": None if row["transaction_id"] is None else str(row["transaction_id"]),
                "correlation": row["correlation_id"],
                "version": None if row["version"] is None else str(row["version"]),
                "life": None if row["life"] is None else str(row["life"]),
                "metadata": recorded_metadata,
            }
            told[str(row["row"])] = {"facts": facts, "notes": self._notes(row)}
        return told

    def _notes(self, row: dict[str, Any]) -> list[str]:
        """What somebody must know who reads the change."""
        notes = []
        if row["effective"] != row["at"]:
            notes.append(
                f"It counts from {self._time(row['effective'])} on: changes before it in the log's order were recorded "
                "later than it, or were seen by others later."
            )
        if not row["certain"]:
            notes.append("Not certain: its place in its transaction is ambiguous, or a change beside it is missing.")
        if row["origin"] == "derived":
            notes.append("Derived: its image was not recorded; its neighbours determine it.")
        if row["operation"] == "SNAPSHOT":
            notes.append("A state that was read: it is nobody's change.")
        if row["operation"] == "TRUNCATE":
            notes.append("A TRUNCATE ended every live entity of the type; it stands here once for each of them.")
        if row["moved"]:
            notes.append("It gave the row another primary key: the row goes on as, or was before, another entity.")
        if (row["life"] or 1) > 1 and row["operation"] == "INSERT":
            notes.append(f"The entity was there before and was deleted: its life {row['life']} begins here.")
        return notes

    def _diffs(self, shape: Shape, rows: pl.DataFrame, texts: dict[str, Any]) -> None:
        near = _among(shape.field_changes, "position", rows["position"])
        found = near.join(rows.select("row", *_KEYS), on=_KEYS, how="inner", maintain_order="left")
        for row, field, kind, old, new in found.select("row", "field", "kind", "old", "new").iter_rows():
            texts[str(row)]["diff"].append([field, kind, old, new])

    def _states(self, shape: Shape, rows: pl.DataFrame, texts: dict[str, Any]) -> None:
        """The state that each change left, each field with who set it; or why there is none."""
        try:
            self.selected.require_states("blame")
        except IncompleteLog as exc:
            for row in rows["row"]:
                texts[str(row)]["absent"] = str(exc)
            return
        for row, ends, version in rows.select("row", "ends", "version").iter_rows():
            if version is None:
                texts[str(row)]["absent"] = (
                    "The entity is not there any more after this change; the diff has what it was."
                    if ends
                    else "The log has no image of the entity after this change."
                )
        for state in _blamed(shape.field_origins, rows):
            row, field, value, set_by, set_at, change, old, old_present, origin, seen_in, certain = state
            words = {"unlogged": "not logged; first seen in", "unknown": "before the log began; first seen in"}
            note = "" if origin not in words else f"{words[origin]} change {seen_in}"
            texts[str(row)]["state"].append(
                [
                    field,
                    value,
                    set_by,
                    None if set_at is None else self._time(set_at),
                    None if change is None else str(change),
                    old,
                    bool(old_present),
                    note if certain else f"{note}; not certain".removeprefix("; "),
                ]
            )

    def _transactions(self, rows: pl.DataFrame) -> dict[str, Any]:
        """All changes of each of the points' transactions, also those that are not selected."""
        recorded = self.selected.recorded
        own = _among(recorded.changes, "transaction_id", rows["transaction_id"].drop_nulls())
        own = own.filter(~pl.col("baseline"))
        own = own.sort("position").with_columns(count=pl.len().over("transaction_id"))
        shown = own.filter(pl.int_range(pl.len()).over("transaction_id") < OTHERS)
        found: dict[str, Any] = {}
        for transaction, count, listed in zip(
            shown["transaction_id"], shown["count"], self._listed(shown), strict=True
        ):
            if str(transaction) not in found:
                found[str(transaction)] = {"rows": [], "note": self._left_out(transaction, count), "count": count}
            found[str(transaction)]["rows"].append(listed)
        return found

    def _left_out(self, transaction: int, count: int) -> str:
        """What of a transaction is not listed, in words."""
        parts = []
        if count > OTHERS:
            all_of_it = f"log.transaction({transaction}).timeline()"
            parts.append(f"The first {OTHERS} of {count:,} changes; {all_of_it} has all.")
        recorded = self.selected.recorded
        if isinstance(recorded, Part):
            parts.append(
                f"Only what the entity takes was read of the log; log.transaction({transaction}).timeline() has all."
            )
        elif not recorded.spans_its_ids:
            parts.append(f"Only {', '.join(recorded.entity_types)} were read of the log.")
        return " ".join(parts)

    def _listed(self, changes: pl.DataFrame) -> list[list[Any]]:
        """Changes in short: id, operation, type, entity, user, fields, and the number of their point."""
        own = _among(self.points.rows, "position", changes["position"]).select("position", point="row")
        own = own.unique("position", keep="first", maintain_order=True)
        listed = changes.join(own, on="position", how="left", maintain_order="left")
        fields = self._changed_fields(changes)
        return [
            [str(row["id"]), row["operation"], row["entity_type"], row["entity_id"], row["changed_by"],
             fields.get(row["position"], []), row["point"]]
            for row in listed.iter_rows(named=True)
        ]  # fmt: skip

    def _changed_fields(self, changes: pl.DataFrame) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for entity_type in changes["entity_type"].unique():
            told = _among(self.selected.recorded.shape(entity_type).field_changes, "position", changes["position"])
            told = told.unique(["position", "place"], maintain_order=True)
            for position, field in told.select("position", "field").iter_rows():
                found.setdefault(position, []).append(field)
        return found

    def _time(self, at: datetime) -> str:
        return at.astimezone(zone_named(self.points.zone)).isoformat(sep=" ")


_STATE = (
    "row", "field", "value", "set_by", "set_at", "id", "old", "old_present", "origin", "seen_in", "certain",
)  # fmt: skip


def _blamed(origins: pl.DataFrame, rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Each field of the state that each point left, by point and field: ``_STATE``'s columns."""
    asked = rows.filter(pl.col("version").is_not_null()).select("row", "entity_id", "version").sort("version")
    own = _among(origins, "entity_id", asked["entity_id"])
    parts = []
    for (place,), runs in own.group_by("place"):
        found = asked.join_asof(
            runs.sort("first_version"),
            left_on="version", right_on="first_version", by="entity_id", check_sortedness=False,
        )  # fmt: skip
        held = found.filter(pl.col("version") <= pl.col("last_version"))
        parts.append(held.select(*_STATE, place=pl.lit(place)))
    return pl.concat(parts).sort("row", "place").drop("place").rows() if parts else []


def _among(frame: pl.DataFrame, column: str, values: pl.Series) -> pl.DataFrame:
    """The rows whose value is one of these: for few of them a pass over one column, which no join is."""
    return frame.filter(pl.col(column).is_in(values.unique().implode()))

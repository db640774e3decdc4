"""Points: the changes of a selection as a page draws them, each a place in time, an operation, a user, some fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.schema import OPERATIONS, TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.selection import Selected

__all__ = ["ROWS", "Points", "points"]

ROWS: dict[str, pl.DataType] = {
    "position": pl.UInt32(),
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "operation": pl.String(),
    "changed_by": pl.String(),
    "at": TIME,
    "effective": TIME,
    "transaction_id": pl.Int64(),
    "correlation_id": pl.String(),
    "id": pl.Int64(),
    "version": pl.Int64(),
    "life": pl.Int64(),
    "origin": pl.String(),
    "certain": pl.Boolean(),
    "ends": pl.Boolean(),
    "moved": pl.Boolean(),
}
"""One row a change of one entity. ``at`` is its time by the log's clock, as recorded; ``effective`` the time from which
it counts; ``version`` the state that it left, null where it left none; ``moved``: it gave the row another key."""

TOLD = 4_000_000
"""The most characters of a list of entities, or of correlation ids, that go into a page."""

_ABSENT = 2**32 - 1


def points(selected: Selected, only: Mapping[str, pl.Series] | None = None) -> Points:
    """The points of a selection, in the order in which they count: by effective time, then by the log's order.

    A TRUNCATE stands once for each entity that it ended, a change of a key once for either key.

    Args:
        selected: The log, or a part of it.
        only: By entity type, the ids of the entities that are meant; None for all.
    """
    frames, fields = [pl.DataFrame(schema=ROWS)], []
    for shape in selected.shapes():
        own = selected.of_picked(shape.entity_changes)
        told = selected.of_picked(shape.field_changes)
        if selected.entity_id is not None:
            here = pl.col("entity_id") == selected.entity_id
            own, told = own.filter(here), told.filter(here)
        if only is not None:
            here = pl.col("entity_id").is_in(only[shape.entity_type].implode())
            own, told = own.filter(here), told.filter(here)
        frames.append(_rows(selected, own, shape.versions))
        fields.append(told.select("position", "entity_id", "field", entity_type=pl.lit(shape.entity_type)))
    rows = pl.concat(frames).sort("effective", "position", maintain_order=True).with_row_index("row")
    return Points(rows, _fields(rows, fields), selected.recorded.facts.zone, selected.recorded.facts.clock)


def _rows(selected: Selected, own: pl.DataFrame, versions: pl.DataFrame) -> pl.DataFrame:
    left = versions.filter(pl.col("id").is_not_null()).select(
        "position", "entity_id", "version", "life", "origin", "certain"
    )
    rows = own.join(left, on=["position", "entity_id"], how="left", maintain_order="left", nulls_equal=True)
    changes, clock = selected.recorded.changes, selected.recorded.facts.clock
    rows = rows.with_columns(
        at=changes[clock].gather(rows["position"]),
        correlation_id=changes["correlation_id"].gather(rows["position"]),
        certain=pl.col("certain").fill_null(value=True),
        moved=pl.col("link").is_not_null(),
    )
    return rows.select(pl.col(name).cast(dtype) for name, dtype in ROWS.items())


def _fields(rows: pl.DataFrame, parts: list[pl.DataFrame]) -> pl.DataFrame:
    """``row`` and ``field``: which fields each point changed, by row."""
    empty = pl.DataFrame(schema={"row": pl.UInt32, "field": pl.String})
    keys = ["position", "entity_type", "entity_id"]
    if not parts:
        return empty
    found = pl.concat(parts).join(rows.select("row", *keys), on=keys, how="inner", maintain_order="left")
    return pl.concat([empty, found.select("row", "field")]).sort("row", maintain_order=True)


@dataclass(frozen=True)
class Points:
    """The points of a selection.

    Args:
        rows: ``row`` (a number from 0) and ``ROWS``' columns.
        fields: ``row`` and ``field``, one row a changed field.
        zone: The log's time zone.
        clock: The log's clock: what ``at`` is.
    """

    rows: pl.DataFrame
    fields: pl.DataFrame
    zone: str
    clock: str

    @cached_property
    def users(self) -> list[str | None]:
        """The users, the most active first."""
        return _by_count(self.rows["changed_by"])

    @cached_property
    def entity_types(self) -> list[str | None]:
        """The entity types, that with the most changes first."""
        return _by_count(self.rows["entity_type"])

    @cached_property
    def field_names(self) -> list[str | None]:
        """The fields, the most changed first."""
        return _by_count(self.fields["field"])

    def page(self) -> dict[str, Any]:
        """What ``pointsOf`` of points.js reads: numbers as bytes, each list of texts once."""
        rows = self.rows
        operations = rows["operation"].replace_strict(
            {name: code for code, name in enumerate(OPERATIONS)}, return_dtype=pl.UInt8
        )
        entities = rows.select("entity_type", "entity_id").unique(maintain_order=True)
        entity = rows.join(
            entities.with_row_index("code"),
            on=["entity_type", "entity_id"], how="left", maintain_order="left", nulls_equal=True,
        )["code"]  # fmt: skip
        correlations = rows["correlation_id"].drop_nulls().unique(maintain_order=True).to_list()
        transactions = rows["transaction_id"].drop_nulls().unique(maintain_order=True)
        starts = rows.select("row").join(self.fields.group_by("row").len(), on="row", how="left", maintain_order="left")
        flags = (
            rows["certain"].not_().cast(pl.UInt8)
            + (rows["origin"] == "derived").fill_null(value=False).cast(pl.UInt8) * 2
            + rows["ends"].cast(pl.UInt8) * 4
            + ((rows["life"] > 1).fill_null(value=False) & (rows["operation"] == "INSERT")).cast(pl.UInt8) * 8
            + rows["moved"].cast(pl.UInt8) * 16
        )
        return {
            "count": rows.height,
            "zone": self.zone,
            "clock": self.clock,
            "at": _bytes(rows["at"].dt.timestamp("us") / 1000, pl.Float64),
            "operation": _bytes(operations, pl.UInt8),
            "flags": _bytes(flags, pl.UInt8),
            "id": _bytes(rows["id"], pl.Int64),
            "user": _coded(rows["changed_by"], self.users),
            "users": self.users,
            "type": _coded(rows["entity_type"], self.entity_types),
            "types": self.entity_types,
            "entity": _bytes(entity, pl.UInt32),
            "entities": _within(entities["entity_id"].fill_null("(every one)").to_list()),
            "transaction": _coded(rows["transaction_id"], transactions.to_list()),
            "transactions": _bytes(transactions, pl.Int64),
            "correlation": _coded(rows["correlation_id"], correlations),
            "correlations": _within(correlations),
            "fieldEnd": _bytes(starts["len"].fill_null(0).cum_sum(), pl.UInt32),
            "field": _coded(self.fields["field"], self.field_names),
            "fields": self.field_names,
        }


def _by_count(values: pl.Series) -> list[str | None]:
    """The distinct values, the most frequent first; of equally frequent ones by name, null last."""
    counts = values.rename("value").value_counts(name="n")
    return counts.sort(pl.col("n"), "value", descending=[True, False], nulls_last=True)["value"].to_list()


def _coded(values: pl.Series, names: list[Any]) -> bytes:
    """Each value's place in the list; null that is not in it the highest number."""
    codes = pl.DataFrame({"value": pl.Series(names, dtype=values.dtype)}).with_row_index("code")
    found = values.rename("value").to_frame().join(
        codes, on="value", how="left", maintain_order="left", nulls_equal=True
    )  # fmt: skip
    return _bytes(found["code"].fill_null(_ABSENT), pl.UInt32)


def _bytes(values: pl.Series, dtype: Any) -> bytes:  # noqa: ANN401 - a Polars type
    made: bytes = values.cast(dtype).rechunk().to_numpy().tobytes()
    return made


def _within(texts: list[str]) -> list[str] | None:
    """The texts; None where they are too many for a page, which then says so."""
    return texts if sum(map(len, texts)) <= TOLD else None

"""Who set each field of each version: the runs in which a field had one value, and the change that set it.

A field is set by the change whose own images differ in it. Where a change's before image is not what the change before
it left, something that was not logged did the difference: that change merely carried it, and is not named for it.

A row whose key was changed is still that row: what the change of its key did not alter was set under the old key.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from auditlab.lineage import lineage
from auditlab.rows import interleaved
from auditlab.schema import TIME
from auditlab.spans import holds, version_steps
from auditlab.threads import side_by_side

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.values import Column

__all__ = ["FIELD_ORIGINS", "Origins"]

FIELD_ORIGINS: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "field": pl.String(),
    "place": pl.Int64(),
    "value": pl.String(),
    "set_by": pl.String(),
    "set_at": TIME,
    "id": pl.Int64(),
    "transaction_id": pl.Int64(),
    "operation": pl.String(),
    "old": pl.String(),
    "old_present": pl.Boolean(),
    "life": pl.Int64(),
    "origin": pl.String(),
    "seen_in": pl.Int64(),
    "certain": pl.Boolean(),
    "valid_from": TIME,
    "valid_to": TIME,
    "first_version": pl.Int64(),
    "last_version": pl.Int64(),
}
"""One row a field's value for as long as it was held by one setting; its recorded text may change on the way.

The time that it held is ``[valid_from, valid_to)``; in the order of the entity's versions it is ``first_version`` to
``last_version``, which tells of versions that held for no time, too."""

_CARRIED, _SET, _UNLOGGED, _UNKNOWN, _DERIVED = range(5)
_FACTS = (
    "changed_by", "changed_at", "id", "transaction_id", "operation", "seen_in", "sure", "derived",
)  # fmt: skip
_ORIGINS = pl.Series([None, "observed", "unlogged", "unknown", "derived"])
"""What is said of each of these kinds."""
_HELD: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "setting": pl.UInt32(),
    "kind": pl.UInt8(),
    "place": pl.Int64(),
    "value": pl.String(),
    "old": pl.String(),
    "old_present": pl.Boolean(),
}


class Origins:
    """The change that set each field of each version.

    Args:
        versions: :attr:`auditlab.shape.Shape.versions`, by entity and version.
        steps: The type's steps with ``before`` (the number of the before image), and whether their images are derived.
        columns: The type's fields over its documents.
        unordered: Positions whose order is ambiguous.
        truncated: The position of the type's first TRUNCATE: an entity first seen after it was absent before.
        broken: By version, whether it may have been changed by a row that was set aside; None where none was.
    """

    def __init__(
        self,
        versions: pl.DataFrame,
        steps: pl.DataFrame,
        columns: tuple[Column, ...],
        unordered: pl.Series,
        truncated: int | None,
        broken: pl.Series | None = None,
    ) -> None:
        told = versions.with_columns(broken=pl.lit(value=False) if broken is None else broken)
        self._rows = _rows(told, steps, unordered, truncated)
        self._columns = columns
        self._set: dict[int, _Set] = {}

    @cached_property
    def table(self) -> pl.DataFrame:
        """Every field of every version with the change that set it, run by run: ``FIELD_ORIGINS``' columns.

        A run begins with a life, a setting or other recorded text.
        """
        rows, doc = self._rows, self._rows["doc"]
        parts = [pl.DataFrame(schema=FIELD_ORIGINS)]
        for place, column in enumerate(self._columns):
            own, text = self._settings(place), column.of(doc).text
            begins = ~rows["same"] | rows["came"] | own.event | text.ne_missing(text.shift())
            begins |= rows["broken"] != rows["broken"].shift().fill_null(value=False)
            runs = begins.arg_true()
            last = runs.shift(-1, fill_value=len(rows)) - 1
            known = own.code.gather(runs).is_not_null()
            runs, last = runs.filter(known), last.filter(known)
            told = self._told([_held(own, runs, place)])
            held = rows.select("valid_from", "version")[runs]
            until = rows.select("valid_to", last_version="version")[last]
            told = told.hstack(held.rename({"version": "first_version"})).hstack(until)
            parts.append(told.select(*FIELD_ORIGINS))
        return pl.concat(parts)

    def at(self, at: datetime | None, entity_id: str | None) -> pl.DataFrame:
        """The rows of ``table`` that hold at an instant (None: now), by entity_id and place, without how long.

        What ``blame.sql`` says, of the versions that hold then: the runs of all others need not be told.
        """
        return self._standing(holds(at, entity_id))

    def of(self, versions: pl.Series) -> pl.DataFrame:
        """The same of some versions, at most one an entity: what ``blame_mark.sql`` says.

        Args:
            versions: UInt32; their rows in the table of versions.
        """
        return self._standing(pl.col("number").is_in(versions.implode()))

    def _standing(self, which: pl.Expr) -> pl.DataFrame:
        """Each field of the versions that meet a predicate, by entity_id and place."""
        rows = self._rows
        live = rows.lazy().filter(which).select("row", "entity_id").sort("entity_id").collect()["row"]
        parts = side_by_side(lambda place: self._held(place, live), range(len(self._columns)), len(rows))
        told = self._told(parts, _by_entity(live, [part.rows for part in parts], len(rows)))
        return told.select(name for name in FIELD_ORIGINS if name in told.columns)

    def _held(self, place: int, live: pl.Series) -> _Held:
        """Those of some versions in which a field has a value."""
        own = self._settings(place)
        return _held(own, live.filter(own.code.gather(live).is_not_null()), place)

    def _settings(self, place: int) -> _Set:
        if place not in self._set:
            self._set[place] = _settings(self._rows, self._columns[place])
        return self._set[place]

    def _told(self, parts: list[_Held], order: pl.Series | None = None) -> pl.DataFrame:
        """Values that were held, with the facts of the change that set each; in ``order``, else as they stand."""
        rows = self._rows
        frames = side_by_side(self._cells, parts, max((len(part.rows) for part in parts), default=0))
        told = pl.concat([pl.DataFrame(schema=_HELD), *frames], rechunk=True)
        told = told if order is None else told[order]
        names = pl.Series([column.name for column in self._columns], dtype=pl.String)
        by, unknown = pl.col("kind") == _SET, pl.col("kind") == _UNKNOWN
        facts = told.hstack(rows.select(*_FACTS, gap="broken")[told["setting"]]).hstack(
            rows.select("entity_id", "life", "broken")[told["row"]]
        )
        return facts.select(
            "entity_id",
            pl.lit(names.gather(told["place"])).alias("field"),
            "place",
            "value",
            pl.when(by).then("changed_by").alias("set_by"),
            pl.when(by).then("changed_at").alias("set_at"),
            pl.when(by).then("id").alias("id"),
            pl.when(by).then("transaction_id").alias("transaction_id"),
            pl.when(by).then("operation").alias("operation"),
            "old",
            pl.when(~unknown).then("old_present").alias("old_present"),
            "life",
            pl.lit(_ORIGINS).gather(pl.when(by & pl.col("derived")).then(_DERIVED).otherwise("kind")).alias("origin"),
            "seen_in",
            (pl.col("sure") & ~pl.col("broken") & (by | ~pl.col("gap"))).alias("certain"),
        )

    def _cells(self, part: _Held) -> pl.DataFrame:
        """``_HELD``'s columns of one field."""
        rows, column = self._rows, self._columns[part.place]
        was = rows["was"].gather(part.setting).zip_with(part.kind == _SET, rows["prior"].gather(part.setting))
        value, old = column.of(rows["doc"].gather(part.rows)), column.of(was)
        cells = {
            "row": part.rows,
            "setting": part.setting,
            "kind": part.kind,
            "place": pl.repeat(part.place, len(part.rows), dtype=pl.Int64, eager=True),
            "value": value.text,
            "old": old.text,
            "old_present": old.code.is_not_null(),
        }
        return pl.DataFrame(cells)


class _Set(NamedTuple):
    """Of one field, by version: its value's code, whether it was set here, and which version set it.

    ``begun`` is how a life's first version has it, ``_CARRIED`` for every other; ``changed`` whether its change set it.
    """

    code: pl.Series
    event: pl.Series
    begun: pl.Series
    changed: pl.Series
    setting: pl.Series

    def kind(self, settings: pl.Series) -> pl.Series:
        """How versions that set the field did so (UInt8)."""
        begun = self.begun.gather(settings)
        within = pl.Series([_UNLOGGED, _SET], dtype=pl.UInt8).gather(self.changed.gather(settings).cast(pl.UInt32))
        return within.zip_with(begun == _CARRIED, begun)


class _Held(NamedTuple):
    """Versions in which a field has a value, with the versions that set it, and how."""

    rows: pl.Series
    setting: pl.Series
    kind: pl.Series
    place: int


def _held(own: _Set, rows: pl.Series, place: int) -> _Held:
    """Versions in which a field has a value."""
    setting = own.setting.gather(rows)
    return _Held(rows, setting, own.kind(setting), place)


def _by_entity(live: pl.Series, parts: list[pl.Series], height: int) -> pl.Series:
    """The order that puts the parts, each of which has some of ``live`` in its order, together by ``live``."""
    rank = np.zeros(height, dtype=np.int64)
    rank[live.to_numpy()] = np.arange(len(live))
    return interleaved([pl.Series(rank[part.to_numpy()]) for part in parts], len(live))


def _rows(versions: pl.DataFrame, steps: pl.DataFrame, unordered: pl.Series, truncated: int | None) -> pl.DataFrame:
    """The versions with the documents around each and, of a life's first, where its values come from."""
    first = (pl.col("entity") != pl.col("entity").shift()).fill_null(value=True)
    came = pl.col("link").is_not_null() & ~pl.col("ends")
    derived = pl.col("before_derived") | pl.col("after_derived")
    images = steps.select("before", "link", first=first, came=came, derived=derived)
    rows = versions.hstack(images[version_steps(steps)]).with_row_index("number")
    lines = lineage(steps)
    unbroken = ["entity", "life"]
    if lines is not None:
        rows, unbroken = _by_line(rows, lines), ["line"]
    observed = pl.col("origin") != "unknown"
    operation = pl.col("operation").fill_null("")
    read = operation == "SNAPSHOT"
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in unbroken).fill_null(value=False)
    same &= pl.col("before").is_not_null() | operation.is_in(["SNAPSHOT", "INSERT"]) | ~observed  # else it is not told
    absent_before = ~pl.col("first")
    if truncated is not None:
        absent_before |= pl.col("position") > truncated
    begun = (
        pl.when(operation == "INSERT")
        .then(_SET)
        .when((~observed & pl.col("valid_from").is_not_null()) | (read & absent_before))
        .then(_UNLOGGED)
        .otherwise(_UNKNOWN)
    )
    rows = rows.with_columns(
        same=same,
        begun=pl.when(~same).then(begun).otherwise(_CARRIED).cast(pl.UInt8),
        prior=pl.when(same).then(pl.col("doc").shift()),
        own=pl.when(~operation.is_in(["SNAPSHOT", "INSERT"]) & observed).then("before"),
        read=read,
        seen_in=pl.coalesce("id", "ended_by"),
        sure=~pl.col("position").is_in(unordered.implode()),
    )
    rows = rows.with_columns(
        was=pl.when(~pl.col("read")).then(pl.coalesce("own", "prior")),
        found=pl.when("read").then("doc").otherwise("own"),
    )
    odd = pl.col("was").ne_missing(pl.col("prior")) | (pl.col("found") != pl.col("prior")).fill_null(value=False)
    return rows.with_columns(odd=pl.col("same") & odd).with_row_index("row")


def _by_line(rows: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """The versions of each row of the table one after the other, whatever its key was: with ``line``, a number."""
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    lives = rows.select("entity", "life").unique(maintain_order=True)
    told = lives.join(lines, on=["entity", "life"], how="left", maintain_order="left").with_columns(
        line=pl.coalesce(pl.col("line").cast(pl.Int64), -1 - number), place=pl.col("place").fill_null(0)
    )
    told = rows.join(told, on=["entity", "life"], how="left", maintain_order="left")
    return told.sort("line", "place", maintain_order=True)


def _settings(rows: pl.DataFrame, column: Column) -> _Set:
    """Which version set the field of each version, and how."""
    code = column.of(rows["doc"]).code
    same, prior = rows["same"], code.shift()
    changed = code.ne_missing(prior) & same & rows["was"].is_not_null()
    broken = pl.Series([False]).new_from_index(0, len(rows))
    odd = rows["odd"].arg_true()  # what it found is not simply what the version before it left
    if len(odd):
        after, left = code.gather(odd), prior.gather(odd)
        was, found = (column.of(rows[name].gather(odd)).code for name in ("was", "found"))
        own = same.gather(odd)
        changed = changed.scatter(odd, was.ne_missing(after) & rows["was"].gather(odd).is_not_null() & own)
        broken = broken.scatter(odd, left.ne_missing(found) & rows["found"].gather(odd).is_not_null() & own)
    event = ~same | changed | broken
    # The first version of all sets the field: a running maximum costs half of a forward fill.
    row = np.arange(len(rows), dtype=np.uint32)
    setting = pl.Series(np.maximum.accumulate(np.where(event.to_numpy(), row, np.uint32(0))))
    return _Set(code, event, rows["begun"], changed, setting)

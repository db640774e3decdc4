"""One table held against the log, or a part of it: its live rows come in pieces, and what differs is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.breaks import UNREADABLE
from auditlab.analytics.cells import CELLS, differing
from auditlab.analytics.last_states import last_states
from auditlab.analytics.listed import disagreeing
from auditlab.analytics.outside import ROWS, shaped
from auditlab.analytics.told import places
from auditlab.analytics.verdict import EVER
from auditlab.buckets.part import ARRIVAL
from auditlab.links import canonical_document

if TYPE_CHECKING:
    from auditlab.analytics.cells import LiveFields
    from auditlab.analytics.verdict import Verdict
    from auditlab.selection import Selected

__all__ = ["LIVE_ROWS", "TableCheck"]

LIVE_ROWS: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "image": pl.String(),
    "written": pl.Int64(),
    ARRIVAL: pl.Int64(),
}
"""A live row: its entity id, its image as JSON text, the id of the transaction that wrote it, and its number in the
order in which the table's rows came."""

_DRIFTS = {
    "appeared": "the column appeared",
    "vanished": "the column vanished",
    "retyped": "the column changed its type",
}


class TableCheck:
    """Holds the live rows of one entity type against the last states of its log.

    Args:
        selected: The log, or a part of it, which has whole histories.
        entity_type: The type.
        fields: What the catalog says of its fields.
        verdict: Takes what is found.
        only: The entities to look at; None for all.
    """

    def __init__(
        self,
        selected: Selected,
        entity_type: str,
        fields: LiveFields,
        verdict: Verdict,
        only: pl.Series | None = None,
    ) -> None:
        self.entity_type = entity_type
        self._selected, self._fields, self._verdict, self._only = selected, fields, verdict, only
        states = last_states(selected.recorded, entity_type)
        if only is not None:
            states = states.filter(pl.col("entity_id").is_in(only.implode()))
        self._states = states.with_row_index("at")
        self._ids = self._states.select("entity_id", "at")
        self._transactions = selected.recorded.changes["transaction_id"].gather(states["position"])
        self._seen: list[pl.DataFrame] = []
        self._cells: list[pl.DataFrame] = []
        self._unsure: list[pl.DataFrame] = []
        self._back: list[pl.DataFrame] = []
        self._live = self._equal = 0

    def take(self, live: pl.DataFrame) -> None:
        """Compare some live rows: ``LIVE_ROWS``' columns; each row of the table comes once."""
        if self._only is not None:
            live = live.filter(pl.col("entity_id").is_in(self._only.implode()))
        self._live += len(live)
        found = live.join(self._ids, on="entity_id", how="left", maintain_order="left")
        self._verdict.never_seen(self.entity_type, found.filter(pl.col("at").is_null()))
        found = found.filter(pl.col("at").is_not_null())
        known = self._states.select("live", "state", "unsure")[found["at"]]
        found = found.hstack(known.get_columns()).with_columns(transaction=self._transactions.gather(found["at"]))
        self._seen.append(found.select("at"))
        self._back.append(found.filter(~pl.col("live")).select("at", "written", "image"))
        found = found.filter(pl.col("live") & pl.col("state").is_not_null())  # else there is nothing to compare
        differs = found["state"] != found["image"]
        pairs = found.filter(differs).select(
            "at", "written", "unsure", pl.col("at").alias("row"), pl.col("state").alias("logged"), live="image"
        )
        cells = differing(
            pairs.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), "logged", "live"), self._fields
        )
        told = pairs.select("at", "written", "unsure", image="live")[cells["row"]]
        cells = cells.with_columns(kind=self._every_digit(cells["kind"], told["at"]))
        self._cells.append(pl.concat([cells.drop("row"), told.select("at", "written")], how="horizontal"))
        self._unsure.append(told.filter("unsure").select("at", "image").unique("at"))
        self._equal += len(found) - told.filter(~cells["kind"].is_in(["digits"]))["at"].n_unique()
        changed = told.filter(cells["kind"] == "modified")["at"]
        same = found.filter((pl.col("written") != pl.col("transaction")) & ~pl.col("at").is_in(changed.implode()))
        self._verdict.rewritten(self.entity_type, same["written"].unique())

    def _every_digit(self, kinds: pl.Series, at: pl.Series) -> pl.Series:
        """``kinds``, digits that are missing taken for a change where our capture wrote: it records every digit."""
        missing = kinds == "digits"
        if not missing.any():
            return kinds
        context = self._selected.recorded.changes["metadata"].gather(self._states["position"].gather(at))
        ours = context.str.contains('"session_user"', literal=True).fill_null(value=False)
        return kinds.set(missing & ours, "modified")

    def finish(self) -> None:
        """Tell what was found, one row a field, or a row that only one side has."""
        verdict, note = self._verdict, pl.col("kind").replace_strict(_DRIFTS, default="")
        verdict.counted(self.entity_type, int(self._states["live"].sum()), self._live, self._equal)
        if self._states.is_empty():
            return
        self._rows_of_one_side()
        cells = pl.concat([pl.DataFrame(schema=_KEPT), *self._cells])
        shared = self._shared()
        verdict.found("shared entity id", self._told(shared, note="several rows have this id"))
        cells = cells.join(shared, on="at", how="anti", maintain_order="left")
        verdict.found("schema drift", self._told(cells.filter(pl.col("kind").is_in(list(_DRIFTS))), note=note))
        verdict.found("lost float digits", self._told(cells.filter(pl.col("kind") == "digits")))
        changed = cells.filter(pl.col("kind") == "modified")
        unsure = self._other_order(changed)
        verdict.found("uncertain order", self._told(changed.filter(unsure)))
        changed = changed.filter(~unsure)
        edited = self._edited(changed)
        contradicts = "the change contradicts its own changed_fields"
        verdict.found("edited change", self._told(changed.filter(edited), note=contradicts))
        verdict.changed(self._told(changed.filter(~edited)))

    def _rows_of_one_side(self) -> None:
        """Tell of rows that only the log, or only the table has."""
        recorded, verdict = self._selected.recorded, self._verdict
        seen = pl.concat([self._ids.clear().select("at"), *self._seen])
        alive = self._states.filter(pl.col("live"))
        gone = alive.join(seen, on="at", how="anti", maintain_order="left")
        gone = gone.select("at", "position", "entity_id", logged="state")
        back = pl.concat([pl.DataFrame(schema=_BACK), *self._back]).select("at", "written", live="image")
        half = recorded.unlinked_keys.filter(pl.col("entity_type") == self.entity_type)
        rekeyed = pl.col("entity_id").is_in(half["old"].implode())
        unsure = self._deleted_in_doubt(gone)
        restored = self._restored_in_doubt(back)
        removed = gone.filter(~rekeyed & ~unsure)
        verdict.found("uncertain order", self._told(gone.filter(unsure)))
        verdict.found("uncertain order", self._told(back.filter(restored)))
        verdict.found("half-logged key change", self._told(gone.filter(rekeyed & ~unsure)))
        verdict.found("inserted outside the log", self._told(back.filter(~restored), note="the log has it deleted"))
        stay = alive.join(removed.select("at"), on="at", how="anti")["begins"]
        verdict.staying(self.entity_type, len(alive), self._first(stay))
        if len(removed):
            verdict.removed(self._told(removed).hstack(places(recorded, removed["position"])))

    def _first(self, begins: pl.Series) -> tuple[int, int] | None:
        """Where the first of some lives begins, over all parts of the log; None without any."""
        least = begins.bottom_k(1)
        if least.is_empty():
            return None
        return EVER if least[0] < 0 else places(self._selected.recorded, least.cast(pl.UInt32)).row(0)

    def _shared(self) -> pl.DataFrame:
        """Entities of which the table has several rows."""
        seen = pl.concat([self._ids.clear().select("at"), *self._seen])
        return seen.filter(seen["at"].is_duplicated()).unique(maintain_order=True)

    def _other_order(self, changed: pl.DataFrame) -> pl.Series:
        """Whether a row that differs is as some other order of its last transaction's changes would leave it."""
        images = pl.concat([pl.DataFrame(schema={"at": pl.UInt32, "image": pl.String}), *self._unsure])
        fits = [at for at, image in images.iter_rows() if self._among_last(at, image)]
        return changed["at"].is_in(fits)

    def _deleted_in_doubt(self, gone: pl.DataFrame) -> pl.Series:
        unsure = set(self._states.filter("unsure")["at"])
        doubted = [at for at in gone["at"] if at in unsure and self._among_last(at, None)] if unsure else []
        return gone["at"].is_in(doubted)

    def _restored_in_doubt(self, back: pl.DataFrame) -> pl.Series:
        unsure = set(self._states.filter("unsure")["at"])
        pairs = back.select("at", "live").iter_rows() if unsure else ()
        return back["at"].is_in([at for at, image in pairs if at in unsure and self._among_last(at, image)])

    def _among_last(self, at: int, image: str | None) -> bool:
        """Whether a change of the entity's last transaction leaves that image; None is an entity that is not there."""
        changes = self._selected.recorded.changes
        last = changes.row(self._states["position"][at], named=True)
        own = (pl.col("entity_type") == self.entity_type) & (pl.col("entity_id") == last["entity_id"])
        group = changes.filter(own & pl.col("transaction_id").eq_missing(last["transaction_id"]))
        if image is None:
            return bool((group["operation"] == "DELETE").any())
        wanted = canonical_document(image, self._fields.kinds)
        return any(
            canonical_document(after, self._fields.kinds) == wanted for after in group["after_snapshot"].drop_nulls()
        )

    def _edited(self, changed: pl.DataFrame) -> pl.Series:
        """Whether the last change of a row contradicts its own list of changed fields."""
        positions = self._states["position"].gather(changed["at"])
        return positions.is_in(self._contradicting(positions.unique().sort()).implode())

    def _contradicting(self, positions: pl.Series) -> pl.Series:
        """Which of some changes contradict their lists; of one whose images cannot be read, that is not known."""
        if positions.is_empty():
            return positions
        try:
            wrong = disagreeing(self._selected, positions)
        except UNREADABLE:
            if len(positions) == 1:
                return positions.clear()
        else:
            if len(positions) == 1 or wrong["field"].null_count() == 0:  # else a list that cannot be read hides others
                return wrong["position"]
        half = len(positions) // 2
        return pl.concat([self._contradicting(positions[:half]), self._contradicting(positions[half:])])

    def _told(self, rows: pl.DataFrame, note: str | pl.Expr | None = None) -> pl.DataFrame:
        """``outside.ROWS`` for rows of the check (``at``), with the last change of each."""
        if rows.is_empty():
            return pl.DataFrame(schema=ROWS)
        entities = self._states.select("entity_id", "position")[rows["at"]]
        last = self._selected.recorded.changes[entities["position"]].select(*_LAST)
        rows = rows.select(pl.exclude("position", "entity_id")).rename({"written": "written_by"}, strict=False)
        rows = rows.hstack(entities.select("entity_id")).hstack(last).with_columns(entity_type=pl.lit(self.entity_type))
        if note is not None:
            rows = rows.with_columns(note=pl.lit(note) if isinstance(note, str) else note)
        return shaped(rows)


_KEPT = {**{name: dtype for name, dtype in CELLS.items() if name != "row"}, "at": pl.UInt32(), "written": pl.Int64()}
_BACK = {"at": pl.UInt32(), "written": pl.Int64(), "image": pl.String()}
_LAST = ("id", "operation", "changed_by", "changed_at", "transaction_id")

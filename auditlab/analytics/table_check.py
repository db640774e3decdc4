"""One table held against the log: its live rows come in pieces, what differs is kept, and judged at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from auditlab.analytics.breaks import UNREADABLE
from auditlab.analytics.cells import CELLS, differing
from auditlab.analytics.last_states import last_states
from auditlab.analytics.listed import disagreeing
from auditlab.analytics.outside import shaped
from auditlab.links import canonical_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlab.analytics.cells import LiveFields
    from auditlab.selection import Selected

__all__ = ["LIVE_ROWS", "Population", "TableCheck"]

LIVE_ROWS: dict[str, pl.DataType] = {"entity_id": pl.String(), "image": pl.String(), "written": pl.Int64()}
"""A live row: its entity id, its image as JSON text, and the id of the transaction that wrote it."""

FOUND: dict[str, pl.DataType] = {
    "entity_type": pl.String(),
    "entity_id": pl.String(),
    "field": pl.String(),
    "logged": pl.String(),
    "live": pl.String(),
    "written_by": pl.Int64(),
    "note": pl.String(),
    "position": pl.UInt32(),
}
"""The rows behind a finding: ``outside.ROWS`` with the position of the last change in place of its facts."""

MANY = 3
"""Rows gone from which on a TRUNCATE is suspected."""
SHOWN = 10_000
"""Rows of one type that the log never saw and that are shown whole."""
_DRIFTS = {
    "appeared": "the column appeared",
    "vanished": "the column vanished",
    "retyped": "the column changed its type",
}
_MISSING_CHANGE = "its transaction is in the log, but not this change"
_SAME_WRITER = (
    "the last change's own transaction wrote the row: the log was edited, or the transaction went on without it"
)


@dataclass(frozen=True, slots=True)
class Population:
    """Which rows of a type the log must have.

    Args:
        whole: All of them: it began with the rows that were there, or when there were none.
        since: Else those written by this transaction or a later one; None where rows and log cannot be compared so.
    """

    whole: bool
    since: int | None = None


class TableCheck:
    """Holds the live rows of one entity type against the last states of its log.

    Args:
        selected: The log.
        entity_type: The type.
        fields: What the catalog says of its fields.
        population: Tells which of its rows the log must have, once one is there that it never saw.
        only: The entities to look at; None for all.
    """

    def __init__(
        self,
        selected: Selected,
        entity_type: str,
        fields: LiveFields,
        population: Callable[[], Population],
        only: pl.Series | None = None,
    ) -> None:
        self.entity_type = entity_type
        self._selected, self._fields, self._population, self._only = selected, fields, population, only
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
        self._unseen: list[pl.DataFrame] = []
        self._rewrites: set[int] = set()
        self._shown = 0
        self.logged, self.live, self.equal = int(states["live"].sum()), 0, 0

    def take(self, live: pl.DataFrame) -> None:
        """Compare some live rows: ``LIVE_ROWS``' columns; each row of the table comes once."""
        if self._only is not None:
            live = live.filter(pl.col("entity_id").is_in(self._only.implode()))
        self.live += len(live)
        found = live.join(self._ids, on="entity_id", how="left", maintain_order="left")
        self._never_seen(found.filter(pl.col("at").is_null()))
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
        self.equal += len(found) - told.filter(~cells["kind"].is_in(["digits"]))["at"].n_unique()
        changed = told.filter(cells["kind"] == "modified")["at"]
        same = found.filter((pl.col("written") != pl.col("transaction")) & ~pl.col("at").is_in(changed.implode()))
        self._rewrites.update(same["written"].unique())

    def _every_digit(self, kinds: pl.Series, at: pl.Series) -> pl.Series:
        """``kinds``, digits that are missing taken for a change where our capture wrote: it records every digit."""
        missing = kinds == "digits"
        if not missing.any():
            return kinds
        context = self._selected.recorded.changes["metadata"].gather(self._states["position"].gather(at))
        ours = context.str.contains('"session_user"', literal=True).fill_null(value=False)
        return kinds.set(missing & ours, "modified")

    def _never_seen(self, rows: pl.DataFrame) -> None:
        shown = max(0, SHOWN - self._shown)
        self._shown += len(rows)
        image = pl.when(pl.int_range(pl.len()) < shown).then("image")
        self._unseen.append(rows.select("entity_id", "written", image=image))

    def finish(self) -> dict[str, pl.DataFrame]:
        """What was found, by kind: ``FOUND``' columns, one row a field, or a row that only one side has."""
        found = self._rows_of_one_side()
        cells = pl.concat([pl.DataFrame(schema=_KEPT), *self._cells])
        shared = self._shared()
        found["shared entity id"] = self._told(shared, note="several rows have this id")
        cells = cells.join(shared, on="at", how="anti", maintain_order="left")
        drift = pl.col("kind").is_in(list(_DRIFTS))
        found["schema drift"] = self._told(cells.filter(drift), note=pl.col("kind").replace_strict(_DRIFTS, default=""))
        found["lost float digits"] = self._told(cells.filter(pl.col("kind") == "digits"))
        changed = cells.filter(pl.col("kind") == "modified")
        unsure = self._other_order(changed)
        found["uncertain order"] = pl.concat([found["uncertain order"], self._told(changed.filter(unsure))])
        changed = changed.filter(~unsure)
        edited = self._edited(changed)
        found["edited change"] = self._told(
            changed.filter(edited), note="the change contradicts its own changed_fields"
        )
        found["changed outside the log"] = self._told(changed.filter(~edited), note=self._by_whom())
        return found

    def _rows_of_one_side(self) -> dict[str, pl.DataFrame]:
        """Rows that only the log, or only the table has."""
        seen = pl.concat([self._ids.clear().select("at"), *self._seen])
        gone = self._states.filter(pl.col("live")).join(seen, on="at", how="anti", maintain_order="left")
        gone = gone.select("at", "position", "begins", "entity_id", logged="state")
        back = pl.concat([pl.DataFrame(schema=_BACK), *self._back]).select("at", "written", live="image")
        half = self._selected.recorded.unlinked_keys.filter(pl.col("entity_type") == self.entity_type)
        rekeyed = pl.col("entity_id").is_in(half["old"].implode())
        unsure = self._deleted_in_doubt(gone)
        restored = self._restored_in_doubt(back)
        removed = gone.filter(~rekeyed & ~unsure)
        emptied = self._emptied(removed)
        unseen = pl.concat([pl.DataFrame(schema=_UNSEEN), *self._unseen]).rename({"image": "live"})
        owed = self._owed(unseen)
        again = self._told(back.filter(~restored), note="the log has it deleted")
        return {
            "inserted outside the log": pl.concat([again, self._told(unseen.filter(owed), note=self._by_whom())]),
            "population incomplete": self._told(unseen.filter(~owed).with_columns(live=pl.lit(None, dtype=pl.String))),
            "half-logged key change": self._told(gone.filter(rekeyed & ~unsure)),
            "uncertain order": pl.concat([self._told(gone.filter(unsure)), self._told(back.filter(restored))]),
            "possible TRUNCATE": self._told(removed if emptied is None else removed.filter(emptied)),
            "removed outside the log": self._told(removed.clear() if emptied is None else removed.filter(~emptied)),
        }

    def _emptied(self, removed: pl.DataFrame) -> pl.Series | None:
        """Which of the rows that are gone a TRUNCATE explains: they are most, and older than each that is there."""
        alive = self._states.filter(pl.col("live"))
        stay = alive.join(removed.select("at"), on="at", how="anti")
        least = stay["begins"].min()
        older = removed["position"].cast(pl.Int64) < (least if least is not None else 2**62)
        enough = older.sum() >= MANY and 2 * older.sum() >= len(alive)
        return older & enough

    def _owed(self, unseen: pl.DataFrame) -> pl.Series:
        """Which rows that the log never saw it should have seen."""
        if unseen.is_empty():
            return pl.Series([], dtype=pl.Boolean)
        owed = self._population()
        if owed.whole or owed.since is None:
            return pl.Series([owed.whole]).new_from_index(0, len(unseen))
        late = unseen["written"] >= owed.since
        return (late & ~unseen["written"].is_in(list(self._rewrites))).fill_null(value=False)

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
        if changed.is_empty():
            return pl.Series([], dtype=pl.Boolean)
        try:
            wrong = disagreeing(self._selected, positions.unique().sort())["position"]
        except UNREADABLE:
            return pl.Series([False]).new_from_index(0, len(changed))
        return positions.is_in(wrong.implode())

    def _by_whom(self) -> pl.Expr:
        """What the transaction that wrote a row says, where the log knows it."""
        known = self._selected.recorded.changes["transaction_id"].drop_nulls().unique()
        here = pl.col("written_by").is_in(known.implode())
        own = pl.col("written_by") == pl.col("last")
        return pl.when(own).then(pl.lit(_SAME_WRITER)).when(here).then(pl.lit(_MISSING_CHANGE))

    def _told(self, rows: pl.DataFrame, note: str | pl.Expr | None = None) -> pl.DataFrame:
        """``FOUND``' columns for rows of the check (``at``), or of the table alone (``entity_id``)."""
        if "at" in rows.columns:
            facts = self._states.select("entity_id", "position")[rows["at"]].get_columns()
            last = self._transactions.gather(rows["at"])
            rows = rows.drop("entity_id", "position", strict=False).with_columns(*facts, last=last)
        else:
            rows = rows.with_columns(last=pl.lit(None, dtype=pl.Int64))
        rows = rows.rename({"written": "written_by"}, strict=False).with_columns(entity_type=pl.lit(self.entity_type))
        if note is not None:
            rows = rows.with_columns(note=pl.lit(note) if isinstance(note, str) else note)
        return shaped(rows, FOUND)


_KEPT = {**{name: dtype for name, dtype in CELLS.items() if name != "row"}, "at": pl.UInt32(), "written": pl.Int64()}
_BACK = {"at": pl.UInt32(), "written": pl.Int64(), "image": pl.String()}
_UNSEEN = {"entity_id": pl.String(), "written": pl.Int64(), "image": pl.String()}

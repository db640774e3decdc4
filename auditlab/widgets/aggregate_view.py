"""The aggregate view: a parent with its children as they were together, at every change of one of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from auditlab import selectors
from auditlab.clock import zone as zone_named
from auditlab.errors import UnknownChange, UnknownEntity
from auditlab.temporal.aggregate import aggregate
from auditlab.temporal.members import members
from auditlab.widgets.code import call, log_code
from auditlab.widgets.lane_picture import Shown, picture
from auditlab.widgets.lanes import MOST, Lanes
from auditlab.widgets.points import points
from auditlab.widgets.tables import table
from auditlab.widgets.view import WidgetView

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.changelog import ChangeLog
    from auditlab.selection import Selected
    from auditlab.shape import Shape
    from auditlab.temporal.aggregate import Fields, Items

__all__ = ["EMBEDDED", "AggregateView", "aggregate_view"]

EMBEDDED = 1_000
"""Of how many instants a document without a kernel holds the aggregate; it says so where there are more."""

_NONE = -1


def aggregate_view(
    log: ChangeLog[Any],
    parent: str,
    *,
    items: Items,
    entity: object,
    key: Fields | None = None,
    cursor: int | None = None,
) -> AggregateView:
    """See :meth:`auditlab.viewing.Viewing.aggregate_view`."""
    selected = log.selected
    entity_id = selectors.entity_id(selected, parent, entity) if parent in selected.entity_types else None
    selected.recorded.shape(parent)
    if entity_id is None:
        raise UnknownEntity(f"no entity {entity!r} among {parent!r} in this log.")
    view = AggregateView(selected, parent, items=items, entity=entity_id, key=key, is_lazy=log.is_lazy)
    view.choose(cursor)
    return view


class AggregateView(WidgetView):
    """An aggregate over time. Its page's state is ``cursor`` (the number of a point), ``brush`` and ``zoom``.

    Args:
        selected: The log.
        parent: The parent's entity type.
        items: The children, as ``aggregate`` takes them.
        entity: The parent's entity id.
        key: The parent's fields that the children refer to.
        is_lazy: Whether the log's answers are lazy frames, for the code that it shows.
    """

    scripts: ClassVar[tuple[str, ...]] = ("points", "lanes", "canvas", "timeline", "details", "aggregate_view")
    styles: ClassVar[tuple[str, ...]] = ("timeline",)

    def __init__(
        self, selected: Selected, parent: str, *, items: Items, entity: str, key: Fields | None, is_lazy: bool
    ) -> None:
        self._selected = selected
        self._question: dict[str, Any] = {"items": items, "entity": entity, "key": key}
        self._parent = parent
        self._lazy = is_lazy
        self._members = members(selected, parent, items=items, entity=entity, key=key)
        ids = self._members.ids()
        types = tuple(ids) or (parent,)
        self._points = points(selectors.of(selected, *types), ids or {parent: pl.Series([entity])})
        rows = self._points.rows
        self._instants = rows["effective"].unique(maintain_order=True)
        lanes = [(parent, entity), *(pair for pair in _entities(rows) if pair != (parent, entity))]
        data = {"points": self._points.page(), "lanes": self._lane_names(lanes), "code": ""}
        state = {"lanes": "entity", "cursor": rows.height - 1, "brush": None, "zoom": None}
        super().__init__(f"{parent} {entity} with {', '.join(filter(None, self._members.kinds))}", data, state)
        self._data["code"] = self.code

    def _lane_names(self, lanes: list[tuple[str, str | None]]) -> list[dict[str, Any]]:
        """For each lane its name and the code of its entity among the points'."""
        codes = {pair: code for code, pair in enumerate(_entities(self._points.rows))}
        short = {name: name.rpartition(".")[2] for name, _ in lanes}
        return [
            {"name": f"{short[name]} {entity or ''}", "code": codes[name, entity]}
            for name, entity in lanes
            if (name, entity) in codes
        ]

    def choose(self, cursor: int | None) -> None:
        """Put the cursor on a change, by its id; None is the last.

        Raises:
            UnknownChange: the aggregate has no such change.
        """
        if cursor is not None:
            rows = self._points.rows.filter(pl.col("id") == cursor)["row"]
            if rows.is_empty():
                ids = ", ".join(map(str, self._points.rows["id"].to_list()[:20]))
                raise UnknownChange(f"no change {cursor} in this aggregate. It has {ids}.")
            self.state = self._state | {"cursor": rows[0]}
        self._data["code"] = self.code

    # what is selected

    @property
    def _row(self) -> int:
        return int(self._state["cursor"])

    def _when(self) -> datetime:
        when: datetime = self._points.rows["effective"][self._row]
        return when

    @property
    def selection(self) -> dict[str, object]:
        """``cursor``, the id of the change, ``at``, the instant, and ``members``, the ids by the kind of children."""
        if self._row == _NONE:
            return {"cursor": None, "at": None, "members": {}}
        live = self._members.at(self._when())
        found = {
            kind or self._parent: live.filter(pl.col("kind") == kind)["entity_id"].to_list()
            for kind in self._members.kinds
        }
        return {"cursor": int(self._points.rows["id"][self._row]), "at": self._when(), "members": found}

    @property
    def frame(self) -> pl.DataFrame:
        """``aggregate()`` of this parent at the cursor: one row, or none where it is absent then."""
        if self._row == _NONE:
            return aggregate(self._selected, self._parent, **self._question)
        return aggregate(self._selected, self._parent, at=self._when(), **self._question)

    @property
    def code(self) -> str:
        """The Python code that shows the same view, and of the frame behind it; the log is ``log`` in it."""
        cursor = None if self._row == _NONE else int(self._points.rows["id"][self._row])
        at = None if self._row == _NONE else self._when().isoformat()
        log, end = log_code(self._selected), ".collect()" if self._lazy else ""
        view = call("aggregate_view", self._parent, **self._question, cursor=cursor)
        rows = call("aggregate", self._parent, **self._question, at=at)
        return f"view = {log}{view}\nrows = {log}{rows}{end}\n"

    # what is shown

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """``{"about": "aggregate", "row": n}``: the aggregate at that change; ``{"about": "code"}``."""
        match question:
            case {"about": "aggregate", "row": int(row)} if 0 <= row < self._points.rows.height:
                place = self._instants.index_of(self._points.rows["effective"][row])
                return self._told(place or 0)
            case {"about": "code"}:
                return {"code": self.code}
        return super().answer(question)

    def embedded_data(self) -> dict[str, Any]:
        """The page's data with the aggregate at every instant, the last ones where they are many."""
        first = max(0, self._instants.len() - EMBEDDED)
        note = "" if not first else f"This file holds the last {EMBEDDED:,} of {self._instants.len():,} instants."
        places = self._instants.to_frame("effective").with_row_index("place")
        of = self._points.rows.join(places, on="effective", how="left", maintain_order="left")["place"].to_list()
        told = {str(place): self._told(place) for place in range(first, self._instants.len())}
        return {**self._data, "code": self.code, "instants": {"of": of, "told": told, "note": note}}

    def _told(self, place: int) -> dict[str, Any]:
        """The aggregate at an instant, against the instant before it at which something of it changed."""
        when = self._instants[place]
        now = self._members.at(when)
        before = self._members.at(self._instants[place - 1]) if place else now.clear()
        here = self._points.rows.filter(pl.col("effective") == when)
        text = when.astimezone(zone_named(self._points.zone)).isoformat(sep=" ")
        kinds = [self._kind(kind, name, before, now) for kind, name in self._members.kinds.items()]
        notes = []
        if not now["certain"].all():
            notes.append("Not certain: the order of a change, or an image, is in doubt.")
        fields = self._points.fields.group_by("row").agg("field")
        changed = dict(fields.join(here.select("row"), on="row", how="semi").iter_rows())
        changes = [
            [str(row["id"]), row["operation"], row["entity_type"], row["entity_id"], row["changed_by"],
             changed.get(row["row"], []), row["row"]]
            for row in here.iter_rows(named=True)
        ]  # fmt: skip
        return {"at": text, "kinds": kinds, "changes": changes, "notes": notes}

    def _kind(self, kind: str, entity_type: str, before: pl.DataFrame, now: pl.DataFrame) -> dict[str, Any]:
        """One kind of members: their fields, and each with what came, went and changed."""
        shape = self._selected.recorded.shape(entity_type)
        docs = [
            dict(part.filter(pl.col("kind") == kind).select("entity_id", "doc").iter_rows()) for part in (before, now)
        ]
        rows = [
            {"entity": entity, "cells": _cells(shape, *(part.get(entity) for part in docs))}
            for entity in sorted({*docs[0], *docs[1]})
        ]
        for row in rows:
            was, there = (row["entity"] in part for part in docs)
            touched = any(cell[2] for cell in row["cells"])
            row["status"] = "added" if not was else "removed" if not there else "modified" if touched else ""
        return {
            "kind": kind or "parent",
            "type": entity_type,
            "fields": [each.name for each in shape.columns],
            "rows": rows,
        }

    @cached_property
    def _lanes(self) -> Lanes:
        names = [lane["name"] for lane in self._data["lanes"]]
        order = {lane["code"]: min(place, MOST) for place, lane in enumerate(self._data["lanes"])}
        codes = {pair: code for code, pair in enumerate(_entities(self._points.rows))}
        rows = self._points.rows.select("row", "entity_type", "entity_id")
        placed = [order[codes[name, entity]] for name, entity in rows.select("entity_type", "entity_id").iter_rows()]
        dealt = rows.select("row", lane=pl.Series(placed, dtype=pl.UInt32))
        folded = max(0, len(names) - MOST)
        return Lanes([*names[:MOST], *([f"{folded:,} more"] if folded else [])], dealt, folded)

    def picture(self) -> str:
        """The changes as SVG: a lane for the parent and for each child."""
        rows = self._points.rows
        shown = Shown.of(rows, None if self._row == _NONE else self._row)
        return picture(self._title, self._points, self._lanes, rows["row"], shown)

    def table_html(self) -> str:
        """The aggregate at the cursor as a table a kind."""
        if self._row == _NONE:
            return table(self.frame, self._title, zone=self._points.zone)
        told = self._told(self._instants.index_of(self._when()) or 0)
        return "".join(_kind_table(kind, told["at"]) for kind in told["kinds"])


def _entities(rows: pl.DataFrame) -> list[tuple[str, str | None]]:
    """The entities of points, by first appearance: their place is their code in the page."""
    return rows.select("entity_type", "entity_id").unique(maintain_order=True).rows()


def _cells(shape: Shape, before: int | None, now: int | None) -> list[list[Any]]:
    """Each field of a member: its text (the last, of one that is gone), whether it is there, changed, and the old.

    The old text stands only where the member was there before and the value differs.
    """
    cells = []
    for column in shape.columns:
        doc = before if now is None else now
        text, code = (None, None) if doc is None else (column.text[doc], column.code[doc])
        old, was = (None, None) if before is None else (column.text[before], column.code[before])
        changed = now is not None and before is not None and was != code
        cells.append([text, code is not None, changed, old if changed else None, changed and was is not None])
    return cells


def _kind_table(kind: dict[str, Any], at: str) -> str:
    columns: dict[str, list[Any]] = {"since the instant before": [], "entity": []}
    for row in kind["rows"]:
        columns["since the instant before"].append(row["status"] or "same")
        columns["entity"].append(row["entity"])
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    for place, name in enumerate(kind["fields"]):
        texts = pl.Series([row["cells"][place][0] for row in kind["rows"]], dtype=pl.String)
        wanted = name
        while wanted in frame.columns:
            wanted = f"field.{wanted}"
        frame = frame.with_columns(texts.alias(wanted))
    return table(frame, f"{kind['kind']} ({kind['type']}) as of {at}")

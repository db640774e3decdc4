"""The compare view: two times side by side, changed fields marked, of one entity and of whole tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.clock import instant
from auditlab.errors import BadOption
from auditlab.widgets.behind import cells
from auditlab.widgets.code import call, log_code
from auditlab.widgets.palette import OPERATIONS
from auditlab.widgets.picks import collected
from auditlab.widgets.pictures import Bar, Picture, bars, sheet
from auditlab.widgets.sides import sides, warned
from auditlab.widgets.tables import table
from auditlab.widgets.view import WidgetView

if TYPE_CHECKING:
    from datetime import datetime

    from auditlab.changelog import ChangeLog
    from auditlab.clock import Moment
    from auditlab.widgets.sides import Sides

__all__ = ["CompareView", "compare_view"]

_KINDS = {
    "added": ("+ added", OPERATIONS["INSERT"].colour),
    "removed": ("- removed", OPERATIONS["DELETE"].colour),
    "modified": ("~ modified", OPERATIONS["UPDATE"].colour),
    "same": ("= the same", OPERATIONS["SNAPSHOT"].colour),
}
_STEPS = {
    "changed_at": "When", "changed_by": "Who", "field": "Field", "kind": "Kind", "old": "Old", "new": "New",
    "id": "Change", "transaction_id": "Transaction",
}  # fmt: skip
_TOP = 12


def compare_view(log: ChangeLog[Any], start: Moment, end: Moment, *, entities: int = 200) -> CompareView:
    """Two times against each other: which entities came, went and changed, and each of their fields at both times.

    Args:
        log: The log, some types of it, or one entity.
        start: The earlier instant; its own changes count as done. Naive times are read in the log's zone.
        end: The later instant, inclusive.
        entities: How many of the entities that differ the page holds, by type and id; ``frame`` has all of them.

    Raises:
        BadOption: end lies before start, or a number that cannot be.
        NoData: an instant is outside what the log covers.
        IncompleteLog: the selection or the log does not hold whole histories.
    """
    if entities < 1:
        raise BadOption(f"entities counts from 1: {entities} cannot be.")
    zone = log.facts.zone
    first, last = instant(start, zone), instant(end, zone)
    return CompareView(log, (first, last), sides(log, first, last), limit=entities)


class CompareView(WidgetView):
    """A comparison of two times; :func:`compare_view` makes it.

    Args:
        log: What it is about.
        times: The two instants.
        found: What differs.
        limit: How many entities the page holds.
    """

    scripts = ("pictures", "compare")
    styles = ("dashboard", "compare")

    def __init__(self, log: ChangeLog[Any], times: tuple[datetime, datetime], found: Sides, *, limit: int) -> None:
        self._log = log
        self._found = found
        self._span = tuple(time.isoformat() for time in times)
        differing = found.entities.filter(pl.col("kind") != "same")
        shown = found.entities if found.entities.height == 1 else differing.head(limit)
        self._entities = shown.rows()
        self._pictures, filters = self._drawn()
        notes = list(found.notes)
        if differing.height > shown.height:
            notes.append(
                f"The first {shown.height:,} of {differing.height:,} entities that differ; "
                "compare_view(..., entities=) holds more, and compare() gives all of them."
            )
        local = pl.Series(times).dt.convert_time_zone(log.facts.zone)
        titles = [f"{time.isoformat(sep=' ')}" for time in local]
        data = {
            "times": titles,
            "code": self._own_code,
            "notes": notes,
            "pictures": [
                {"title": one.title, "width": one.width, "height": one.height, "nodes": list(one.nodes)}
                for one in self._pictures
            ],
            "filters": filters,
            "entities": self._told(shown, times[1]),
            "same": found.entities.height - differing.height,
        }
        only = "e0" if len(self._entities) == 1 else ""
        about = ", ".join(log.entity_types) if len(log.entity_types) <= 3 else f"{len(log.entity_types)} entity types"  # noqa: PLR2004 - what fits
        title = f"{about or 'An empty log'}: {titles[0]} against {titles[1]}"
        super().__init__(title, data, {"entity": only, "filter": ""})

    @property
    def _own_code(self) -> str:
        return log_code(self._log.selected) + call("compare_view", *self._span)

    def _drawn(self) -> tuple[tuple[Picture, ...], dict[str, dict[str, str]]]:
        """The pictures, and by the name of each mark which entities it stands for."""
        filters: dict[str, dict[str, str]] = {}
        kinds: list[Bar] = []
        fields: list[Bar] = []
        for entity_type, kind, number in self._found.counts().iter_rows():
            words, colour = _KINDS[kind]
            name = f"k{len(kinds)}"
            if kind != "same":
                filters[name] = {"entity_type": entity_type, "kind": kind}
            said = f"{entity_type}: {number:,} {'entity' if number == 1 else 'entities'} {kind}"
            kinds.append(Bar(words, number, name if kind != "same" else "", said, colour, entity_type))
        every = self._found.fields()
        for entity_type, field, number in every.head(_TOP).iter_rows():
            name = f"f{len(fields)}"
            filters[name] = {"entity_type": entity_type, "field": field}
            said = f"{field} of {entity_type} differs in {number:,} {'entity' if number == 1 else 'entities'}"
            fields.append(Bar(field, number, name, said, note=entity_type))
        of = f" ({_TOP} of {every.height})" if every.height > _TOP else ""
        return (bars("Entities by what became of them", kinds), bars(f"Fields that differ{of}", fields)), filters

    def _told(self, shown: pl.DataFrame, end: datetime) -> list[dict[str, Any]]:
        """The entities for the page: each with its fields at both times, and the changes between."""
        if shown.is_empty():
            return []
        key, zone = ["entity_type", "entity_id"], self._log.facts.zone
        wanted = shown.select(key)
        net = self._found.net.join(wanted, on=key, how="semi", maintain_order="left")
        held = pl.DataFrame(schema={**dict.fromkeys([*key, "field", "value"], pl.String)})
        if (shown["kind"] != "added").any():  # of an entity that was not there before, every field differs
            every, _ = warned(lambda: collected(self._log.blame(at=end)))  # it warns of what as_of warned of
            held = every.join(wanted, on=key, how="semi", maintain_order="left")
        same = held.join(net, on=[*key, "field"], how="anti", maintain_order="left")
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for entity_type, entity_id, kind, certain in shown.iter_rows():
            rows[entity_type, entity_id] = {
                "entity_type": entity_type, "entity_id": entity_id, "kind": kind, "certain": certain,
                "fields": [], "steps": [],
            }  # fmt: skip
        for entity_type, entity_id, *field in net.select(*key, "field", "kind", "old", "new").iter_rows():
            rows[entity_type, entity_id]["fields"].append(field)
        for entity_type, entity_id, field, value in same.select(*key, "field", "value").iter_rows():
            rows[entity_type, entity_id]["fields"].append([field, "same", value, value])
        steps = self._found.steps.join(wanted, on=key, how="semi", maintain_order="left")
        for (entity_type, entity_id), step in zip(
            steps.select(key).iter_rows(), cells(steps, _STEPS, zone), strict=True
        ):
            rows[entity_type, entity_id]["steps"].append(step)
        return list(rows.values())

    @property
    def frame(self) -> pl.DataFrame:
        """What differs, one row a field: :func:`auditlab.temporal.compare.compare`'s rows."""
        return self._found.net

    @property
    def entities(self) -> pl.DataFrame:
        """The entities that were there at one of the times: ``auditlab.widgets.sides.ENTITIES``' columns."""
        return self._found.entities

    @property
    def selection(self) -> dict[str, object]:
        """The selected entity: its ``entity_type``, ``entity_id`` and ``kind``. Empty: none is."""
        place = self._selected()
        return (
            {}
            if place is None
            else dict(zip(("entity_type", "entity_id", "kind"), self._entities[place], strict=False))
        )

    @property
    def code(self) -> str:
        """The code of the view, and under it that of the rows of the selected entity."""
        told = self.selection
        if not told:
            return self._own_code
        which = f"log.entity({told['entity_id']!r}, {told['entity_type']!r})"
        return f"{self._own_code}\n{which}.compare({self._span[0]!r}, {self._span[1]!r})"

    def rows(self) -> pl.DataFrame:
        """The rows of ``frame`` of the selected entity; all of them where none is selected."""
        told = self.selection
        if not told:
            return self.frame
        return self.frame.filter(entity_type=told["entity_type"], entity_id=told["entity_id"])

    def select(self, name: str) -> None:
        """Select an entity: ``e0`` is the first of those that the page holds; the empty text selects none.

        Raises:
            BadOption: the page holds no such entity.
        """
        if name and name not in {f"e{place}" for place in range(len(self._entities))}:
            raise BadOption(f"no entity {name!r} in this view. There are 'e0' to 'e{len(self._entities) - 1}'.")
        self.state = {**self.state, "entity": name}

    def _selected(self) -> int | None:
        name = self.state.get("entity")
        return next((place for place in range(len(self._entities)) if name == f"e{place}"), None)

    def picture(self) -> str:
        """The pictures on one sheet."""
        return sheet(self._pictures, title=self.title, notes=self._found.notes)

    def table_html(self) -> str:
        """What differs as a table."""
        return table(self.frame, "What differs", zone=self._log.facts.zone)

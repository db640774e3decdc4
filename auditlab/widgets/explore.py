"""Explore: a selection of a log on a timeline, with what each change did, the state it left, and its transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl

from auditlab import selectors
from auditlab.buckets.answers import of_its_bucket
from auditlab.clock import instant
from auditlab.errors import BadOption, UnknownChange, UnknownField
from auditlab.printable import printable
from auditlab.schema import OPERATIONS
from auditlab.shortcuts import alone
from auditlab.temporal.timeline import timeline
from auditlab.widgets.code import call, log_code
from auditlab.widgets.details import Details
from auditlab.widgets.embedding import closed
from auditlab.widgets.lane_picture import Shown, picture
from auditlab.widgets.lanes import lanes as lanes_by
from auditlab.widgets.points import points
from auditlab.widgets.tables import table
from auditlab.widgets.view import WidgetView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlab.changelog import ChangeLog
    from auditlab.clock import Moment
    from auditlab.selection import Selected

__all__ = ["EMBEDDED", "Explore", "explore"]

EMBEDDED = 10_000
"""Of how many changes a document without a kernel holds the detail; it says so where there are more."""

LISTED = 200
"""Of how many changes, and in how many rows, the table tells that stands where no widget runs."""

_START = datetime(1970, 1, 1, tzinfo=UTC)
_ALL = -1


def explore(
    log: ChangeLog[Any],
    *,
    lanes: str | None = None,
    cursor: int | None = None,
    brush: tuple[Moment, Moment] | None = None,
    zoom: tuple[Moment, Moment] | None = None,
    user: str | Literal[False] | None = None,
    field: str | None = None,
    operations: Sequence[str] | None = None,
    transaction: int | None = None,
    correlation: str | None = None,
) -> Explore:
    """See :meth:`auditlab.viewing.Viewing.explore`."""
    selected = log.selected
    if selected.recorded.room is not None:  # a log larger than memory: what one entity takes is read alone
        selected = alone(selected) or of_its_bucket(selected)
    view = Explore(selected, is_lazy=log.is_lazy)
    view.choose(
        lanes=lanes, cursor=cursor, brush=brush, zoom=zoom, user=user, field=field, operations=operations,
        transaction=transaction, correlation=correlation,
    )  # fmt: skip
    return view


class Explore(WidgetView):
    """The timeline of a selection of a log.

    Its page draws the points on a canvas; the state that page and Python share is ``lanes``, ``cursor`` (the number of
    a point, or -1), ``brush`` and ``zoom`` (milliseconds, or null), ``user`` and ``field`` (places in their lists, -1
    is all), ``operations`` (names; none is all), ``transaction`` and ``correlation`` (texts, empty is all).

    Args:
        selected: The log, or a part of it.
        is_lazy: Whether the log's answers are lazy frames, for the code that it shows.
    """

    scripts: ClassVar[tuple[str, ...]] = ("points", "lanes", "canvas", "timeline", "details", "explore")
    styles: ClassVar[tuple[str, ...]] = ("timeline",)

    def __init__(self, selected: Selected, *, is_lazy: bool = False) -> None:
        self._selected = selected
        self._lazy = is_lazy
        self._points = points(selected)
        state = {
            "lanes": _first_lanes(selected), "cursor": _ALL, "brush": None, "zoom": None, "user": _ALL, "field": _ALL,
            "operations": [], "transaction": "", "correlation": "",
        }  # fmt: skip
        data = {"points": self._points.page(), "about": _about(selected), "code": ""}
        super().__init__(f"Timeline of {_about(selected)}", data, state)
        self._data["code"] = self.code

    def choose(
        self,
        *,
        lanes: str | None = None,
        cursor: int | None = None,
        brush: tuple[Moment, Moment] | None = None,
        zoom: tuple[Moment, Moment] | None = None,
        user: str | Literal[False] | None = None,
        field: str | None = None,
        operations: Sequence[str] | None = None,
        transaction: int | None = None,
        correlation: str | None = None,
    ) -> None:
        """Select in the view what the options of ``explore`` say; the page follows.

        Raises:
            BadOption, BadTime, UnknownChange, UnknownField: an option that this log does not have.
        """
        if lanes is not None:
            lanes_by(self._points, lanes)
        wrong = [name for name in operations or () if name not in OPERATIONS]
        if wrong:
            raise BadOption(f"no operation {', '.join(map(repr, wrong))}. There are {', '.join(OPERATIONS)}.")
        if correlation is not None and self._data["points"]["correlations"] is None:
            raise BadOption("this view has too many correlation ids to filter by one: log.correlation(...) selects it.")
        state = {
            "lanes": lanes,
            "cursor": None if cursor is None else self._number(cursor),
            "brush": None if brush is None else self._span(brush),
            "zoom": None if zoom is None else self._span(zoom),
            "user": None if user is None else self._place("user", self._points.users, None if user is False else user),
            "field": None if field is None else self._place("field", self._points.field_names, field),
            "operations": None if operations is None else list(operations),
            "transaction": None if transaction is None else str(transaction),
            "correlation": correlation,
        }
        self.state = self._state | {name: value for name, value in state.items() if value is not None}
        self._data["code"] = self.code

    def _number(self, change: int) -> int:
        rows = self._points.rows.filter(pl.col("id") == change)
        if rows.is_empty():
            ids = self._points.rows["id"]
            raise UnknownChange(
                f"no change {change} in this view. It has {len(ids):,}, {ids.min()!r} to {ids.max()!r}."
            )
        return int(rows["row"][0])

    def _place(self, option: str, names: list[str | None], name: str | None) -> int:
        if name in names:
            return names.index(name)
        shown = ", ".join(map(repr, names[:20])) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")  # noqa: PLR2004
        kind = UnknownField if option == "field" else BadOption
        raise kind(f"no {option} {name!r} in this view. It has {shown or 'none'}.")

    def _span(self, span: tuple[Moment, Moment]) -> list[float]:
        first, last = (instant(moment, self._points.zone) for moment in span)
        if last < first:
            raise BadOption(
                f"a span goes from the earlier to the later: {first.isoformat()} is after {last.isoformat()}."
            )
        return [_ms(first), _ms(last)]

    # what is selected

    @property
    def selection(self) -> dict[str, object]:
        """What is selected, as the options of ``explore`` say it, and ``ids``.

        ``brush`` and ``zoom`` are two aware times each; ``ids`` are the changes that filters and brush leave.
        """
        options = self._options()
        ids = self._kept()["id"].unique(maintain_order=True).to_list()
        return {**options, "brush": self._times("brush"), "zoom": self._times("zoom"), "ids": ids}

    def _options(self) -> dict[str, Any]:
        """The options of ``explore`` that show the same again."""
        state, told = self._state, self._points
        user = told.users[state["user"]] if state["user"] != _ALL else None
        return {
            "lanes": state["lanes"],
            "cursor": None if state["cursor"] == _ALL else int(told.rows["id"][state["cursor"]]),
            "brush": self._texts("brush"),
            "zoom": self._texts("zoom"),
            "user": False if user is None and state["user"] != _ALL else user,
            "field": None if state["field"] == _ALL else told.field_names[state["field"]],
            "operations": tuple(state["operations"]) or None,
            "transaction": int(state["transaction"]) if _is_whole(state["transaction"]) else None,
            "correlation": state["correlation"] or None,
        }

    def _times(self, name: str) -> tuple[datetime, datetime] | None:
        given = self._state[name]
        return None if given is None else (_time(given[0]), _time(given[1]))

    def _texts(self, name: str) -> tuple[str, str] | None:
        times = self._times(name)
        return None if times is None else (times[0].isoformat(), times[1].isoformat())

    def _picked(self) -> Selected:
        """The selection with what filters and brush pick; a field is no matter of changes."""
        picked, options = self._selected, self._options()
        if options["user"] is not None:
            picked = selectors.by(picked, options["user"] or None)
        if options["brush"] is not None:
            picked = selectors.inside(picked, *options["brush"])
        if options["transaction"] is not None:
            picked = selectors.transaction(picked, options["transaction"])
        if options["correlation"] is not None:
            picked = selectors.correlation(picked, options["correlation"])
        return picked

    def _kept(self) -> pl.DataFrame:
        """The points that filters and brush leave."""
        rows, brush = self._filtered(), self._times("brush")
        return rows if brush is None else rows.filter(pl.col("at") >= brush[0], pl.col("at") < brush[1])

    def _filtered(self) -> pl.DataFrame:
        """The points that the filters leave."""
        rows, options = self._points.rows, self._options()
        if options["user"] is not None:
            rows = rows.filter(pl.col("changed_by").eq_missing(pl.lit(options["user"] or None, dtype=pl.String)))
        if options["operations"] is not None:
            rows = rows.filter(pl.col("operation").is_in(options["operations"]))
        for name, column in (("transaction", "transaction_id"), ("correlation", "correlation_id")):
            if options[name] is not None:
                rows = rows.filter(pl.col(column) == options[name])
        if options["field"] is not None:
            own = self._points.fields.filter(pl.col("field") == options["field"])
            rows = rows.join(own.select("row"), on="row", how="semi", maintain_order="left")
        return rows

    @property
    def frame(self) -> pl.DataFrame:
        """The rows behind the picture: ``timeline()`` of what filters and brush leave, one row a changed field.

        Raises:
            NoData: the brush lies wholly outside what the log covers.
        """
        brush = self._texts("brush")
        if brush is not None:
            selectors.check_covered(self._selected, *brush)
        return self._rows_of(self._picked())

    def _rows_of(self, picked: Selected) -> pl.DataFrame:
        """The timeline of picked changes, with what is no matter of picking."""
        found, options = timeline(picked), self._options()
        if options["operations"] is not None:
            found = found.filter(pl.col("operation").is_in(options["operations"]))
        if options["field"] is not None:
            found = found.filter(pl.col("field") == options["field"])
        return found

    @property
    def code(self) -> str:
        """The Python code that shows the same view, and the code of the frame behind it; the log is ``log`` in it."""
        options = self._options()
        first = _first_lanes(self._selected)
        view = {**options, "lanes": None if options["lanes"] == first else options["lanes"]}
        rows = log_code(self._picked()) + ".timeline()"
        if options["operations"] is not None:
            rows += f".filter(pl.col('operation').is_in({list(options['operations'])!r}))"
        if options["field"] is not None:
            rows += f".filter(pl.col('field') == {options['field']!r})"
        rows += ".collect()" if self._lazy else ""
        need = "import polars as pl\n\n" if "pl.col(" in rows else ""
        return f"{need}view = {log_code(self._selected)}{call('explore', **view)}\nrows = {rows}\n"

    # what is shown

    @cached_property
    def _details(self) -> Details:
        return Details(self._selected, self._points)

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """``{"about": "change", "row": n}``: its detail; ``{"about": "code"}``: the code of the view as it stands."""
        match question:
            case {"about": "change", "row": int(row)} if 0 <= row < self._points.rows.height:
                return self._details.of([row])
            case {"about": "code"}:
                return {"code": self.code}
        return super().answer(question)

    def embedded_data(self) -> dict[str, Any]:
        """The page's data with the details of the changes that are selected, the last of them where they are many."""
        chosen = self._kept()["row"]
        note = ""
        if len(chosen) > EMBEDDED:
            note = (
                f"This file holds the details of the last {EMBEDDED:,} of the {len(chosen):,} selected changes. "
                "Export a smaller selection (of, entity, a brush) for the others."
            )
        elif len(chosen) < self._points.rows.height:
            note = f"This file holds the details of the {len(chosen):,} changes that were selected when it was made."
        details = self._details.of(chosen.tail(EMBEDDED).to_list())
        return {**self._data, "code": self.code, "details": {"closed": closed(details), "note": note}}

    def picture(self) -> str:
        """The timeline as SVG: its lanes, and marks or densities by operation."""
        rows = self._points.rows
        cursor = None if self._state["cursor"] == _ALL else self._state["cursor"]
        shown = Shown.of(rows, cursor, self._times("zoom"), self._times("brush"))
        own = lanes_by(self._points, self._state["lanes"])
        return picture(self._title, self._points, own, self._filtered()["row"], shown)

    def table_html(self) -> str:
        """The changes as a table, the first of them where they are many."""
        kept, words = self._kept(), "Changes, field by field"
        if kept.height <= LISTED:
            return table(self._marked(self._rows_of(self._picked())), words, zone=self._points.zone)
        first = pl.col("id").is_in(kept["id"].head(LISTED).implode())
        rows = self._rows_of(selectors.where(self._picked(), first))
        note = f"The first rows of {kept.height:,} changes; to_csv() and .frame have all of them."
        return table(self._marked(rows), words, limit=LISTED, zone=self._points.zone, note=note)

    def _marked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with a column that says which are not certain, where one is not."""
        unsure = self._points.rows.filter(~pl.col("certain")).select("id", "entity_id").unique()
        said = unsure.with_columns(certain=pl.lit("not certain"))
        own = rows.join(said, on=["id", "entity_id"], how="left", maintain_order="left")
        return (
            rows if own["certain"].null_count() == own.height else own.with_columns(pl.col("certain").fill_null("yes"))
        )

    def __repr__(self) -> str:
        count = self._kept().height
        return printable(f"Explore: {self._title}, {count:,} {'change' if count == 1 else 'changes'}")


def _first_lanes(selected: Selected) -> str:
    if selected.entity_id is not None:
        return "field"
    return "type" if len(selected.entity_types) > 1 else "user"


def _about(selected: Selected) -> str:
    about = ", ".join(selected.entity_types) or "an empty log"
    if selected.entity_id is not None:
        about += f" {selected.entity_id}"
    return about + (f", {', '.join(selected.words)}" if selected.words else "")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()


def _ms(at: datetime) -> float:
    return (at - _START) / timedelta(microseconds=1) / 1000


def _time(ms: float) -> datetime:
    return _START + timedelta(microseconds=round(ms * 1000))

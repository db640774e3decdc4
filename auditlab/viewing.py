"""The views of a log: the one place that opens a widget, and what every view can do.

``auditlab.widgets`` lies above this module and loads ipywidgets; it is loaded when the first view is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast, overload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from auditlab.clock import Moment
    from auditlab.temporal.aggregate import Fields, Items

__all__ = ["MarkedView", "View", "Viewing"]


class View(Protocol):
    """What is shown of a log: a widget in a notebook, a table anywhere else, and a file to hand over."""

    @property
    def frame(self) -> pl.DataFrame:
        """The rows behind the picture."""

    @property
    def selection(self) -> dict[str, object]:
        """What is selected in it, as plain Python values."""

    @property
    def code(self) -> str:
        """The Python code that shows the same again."""

    @overload
    def to_html(self, path: None = None) -> str: ...
    @overload
    def to_html(self, path: str | Path) -> Path: ...
    def to_html(self, path: str | Path | None = None) -> str | Path:
        """One HTML document that needs neither kernel nor network; with ``path``, the file that now holds it."""

    @overload
    def to_svg(self, path: None = None) -> str: ...
    @overload
    def to_svg(self, path: str | Path) -> Path: ...
    def to_svg(self, path: str | Path | None = None) -> str | Path:
        """The picture as SVG; with ``path``, the file that now holds it."""

    @overload
    def to_csv(self, path: None = None) -> str: ...
    @overload
    def to_csv(self, path: str | Path) -> Path: ...
    def to_csv(self, path: str | Path | None = None) -> str | Path:
        """The rows behind the picture as CSV; with ``path``, the file that now holds it."""


class MarkedView(View, Protocol):
    """A view whose marks (bars, cells, rows) stand for rows of the log."""

    def rows(self) -> pl.DataFrame:
        """The rows behind the selected mark; all of them where none is selected."""

    def select(self, name: str) -> None:
        """Select the mark of that name; the empty text selects nothing."""


class Viewing:
    """The views that a log opens."""

    __slots__ = ()

    def compare_view(self, start: Moment, end: Moment, *, entities: int = 200) -> MarkedView:
        """Two times against each other, to look at: which entities came, went and changed; ``compare()`` is the frame.

        Each entity that differs opens to its fields at both times and the changes between them. Its ``frame`` is
        ``compare()``'s: ``entity_type, entity_id, field, kind, old, new``, all String, one row a field; ``rows()`` are
        those of the selected entity, and ``select("e0")`` selects the first.

        Args:
            start: The earlier instant; its own changes count as done. Naive times are read in the log's zone.
            end: The later instant, inclusive.
            entities: How many of the entities that differ the page holds, by type and id; ``frame`` has all of them.

        Raises:
            BadOption: end lies before start, or ``entities`` is below 1.
            BadTime: a time that cannot be read.
            NoData: an instant is outside what the log covers.
            IncompleteLog: the log does not hold whole histories.

        Example:
            >>> from auditlab import from_arrow
            >>> from auditlab.testing import make_log
            >>> log = from_arrow(make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})]))
            >>> view = log.compare_view(log.facts.coverage.start, log.facts.coverage.end)
            >>> view.frame.select("entity_id", "field", "kind", "old", "new").rows()
            [('a', 'x', 'modified', '1', '2')]
        """
        return cast("MarkedView", self._open("compare_view", start=start, end=end, entities=entities))

    def dashboard(
        self,
        *,
        period: str | None = None,
        top: int = 6,
        rows: int = 25,
        documents: bool = True,
        mask: Sequence[str] = (),
        omit: Sequence[str] = (),
    ) -> MarkedView:
        """What happened and what was found, as pictures; ``activity()`` and ``evidence()`` are the same as frames.

        Changes over time by operation and by user, by weekday and hour of the log's zone, transactions by size, the
        most changed entities and fields, and the findings of evidence. Each bar and cell is a mark: the ``frame`` has
        one row for each, ``name, picture, words, changes, transactions, code``; ``select(name)`` selects it, and
        ``rows()`` are the changes behind it.

        Args:
            period: second, minute, hour, day, week, month or year; without one, what suits the log's length.
            top: How many entities, fields and users are shown, the most changed and busiest first.
            rows: How many of the rows behind each mark the page holds; ``rows()`` has all of them.
            documents: Whether evidence looks into every document.
            mask: Fields whose values the page does not show.
            omit: Fields that the page does not tell of.

        Raises:
            UnknownField: ``mask`` or ``omit`` names a field that the log does not have.
            BadOption: no such period, or ``top`` or ``rows`` is below 1.

        Example:
            >>> from auditlab import from_arrow
            >>> from auditlab.testing import make_log
            >>> view = from_arrow(make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2})])).dashboard()
            >>> bar = view.frame.row(0, named=True)
            >>> view.select(bar["name"])
            >>> len(view.rows()) == bar["changes"]
            True
        """
        view = self._open("dashboard", period=period, top=top, rows=rows, documents=documents, mask=mask, omit=omit)
        return cast("MarkedView", view)

    def explore(
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
    ) -> View:
        """The changes on a timeline, to look at: a widget in a notebook; ``timeline()`` is the same as a frame.

        Under the timeline stand the change under the cursor field by field, the state that it left with who set each
        field, and the other changes of its transaction. Every option is only what is selected at first; the page
        changes it, and ``selection``, ``frame`` and ``code`` tell what it is then.

        Each change stands at the time that was recorded. The cursor goes over them in the order in which they count,
        so the state after one of several changes of one instant is exact, too.

        Args:
            lanes: The rows of the timeline: ``field``, ``user``, ``operation``, ``type`` or ``entity``. By default
                fields where one entity is selected, types where several are, else users.
            cursor: The id of a change.
            brush: A span of time, from the first up to, not including, the second; what lies outside stays visible.
            zoom: The span of time that is shown; all by default.
            user: Only this user's changes; False: only those without a user.
            field: Only changes of this field.
            operations: Only changes of these operations.
            transaction: Only changes of this transaction.
            correlation: Only changes with this correlation id.

        Raises:
            BadOption, BadTime, UnknownChange, UnknownField: an option that this log does not have.
        """
        return self._open(
            "explore", lanes=lanes, cursor=cursor, brush=brush, zoom=zoom, user=user, field=field,
            operations=operations, transaction=transaction, correlation=correlation,
        )  # fmt: skip

    def aggregate_view(
        self,
        parent: str,
        *,
        items: Items,
        entity: object,
        key: Fields | None = None,
        cursor: int | None = None,
    ) -> View:
        """One parent with its children over time, to look at; ``aggregate()`` is the same as a frame.

        Under a timeline with a lane for each of them stand the parent and its children as they were together at the
        cursor, and which of them came, went and changed since the instant before. Changes of one instant count
        together, as in ``as_of``.

        Args:
            parent: The parent's entity type.
            items: Its children, as :func:`auditlab.temporal.aggregate.aggregate` takes them, e.g.
                ``("orders.order_items", "order_id")``.
            entity: The parent: its entity id, or its primary key.
            key: The parent's fields that the children refer to, as ``aggregate`` takes them.
            cursor: The id of a change of one of them; the last by default.

        Raises:
            UnknownEntityType, UnknownEntity, UnknownField, UnknownChange: the log has no such thing.
            BadOption: items are no tuple of a type and its fields.
            IncompleteLog: the log does not hold whole histories.
        """
        return self._open("aggregate_view", parent=parent, items=items, entity=entity, key=key, cursor=cursor)

    @overload
    def report(
        self,
        path: None = None,
        *,
        include: Sequence[str] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        by: str | None = None,
        mask: Sequence[str] = (),
        omit: Sequence[str] = (),
        rows: int = 500,
        documents: bool = True,
        read_from: str | Path | None = None,
        title: str = "Audit report",
    ) -> str: ...
    @overload
    def report(
        self,
        path: str | Path,
        *,
        include: Sequence[str] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        by: str | None = None,
        mask: Sequence[str] = (),
        omit: Sequence[str] = (),
        rows: int = 500,
        documents: bool = True,
        read_from: str | Path | None = None,
        title: str = "Audit report",
    ) -> Path: ...
    def report(
        self,
        path: str | Path | None = None,
        *,
        include: Sequence[str] | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        by: str | None = None,
        mask: Sequence[str] = (),
        omit: Sequence[str] = (),
        rows: int = 500,
        documents: bool = True,
        read_from: str | Path | None = None,
        title: str = "Audit report",
    ) -> str | Path:
        """One HTML file for the audit's folder: what was found, what was asked, of what, and which digests that has.

        It needs no network, no kernel and no other file, and nothing in the log's values can run in it.

        Args:
            path: Where to write it: whole, or not at all.
            include: The sections, of ``summary``, ``evidence``, ``compare``, ``timeline``, ``diffs``, ``history`` and
                ``blame``. Without: summary, evidence and timeline; with both times also compare; of one entity also
                history and blame.
            start: Summary, timeline and diffs tell of changes from this time on. Naive times are read in the log's
                zone.
            end: And of changes before this time. Compare and blame are as of both.
            by: And of changes by this user alone.
            mask: Fields whose values are not shown, only that they changed.
            omit: Fields of which nothing is told.
            rows: The most rows of a table; a longer one says how many there are, and what gives all of them.
            documents: Whether evidence looks into every document.
            read_from: The file or archive that the log was read from: its digest goes into the report. Of an archive in
                object storage the manifests are read again, with the credentials of the environment.
            title: The heading.

        Returns:
            The path where one was given, else the HTML.

        Raises:
            BadOption: there is no such section, a time or number cannot be, or the file cannot be written.
            UnknownField: ``mask`` or ``omit`` names a field that the log does not have.
            AuditlabError: the log cannot answer a section, for the reason that its verb gives.

        Example:
            >>> from auditlab import from_arrow
            >>> from auditlab.testing import make_log
            >>> log = from_arrow(make_log([("INSERT", "a", {"x": 1, "note": "secret"})]))
            >>> "secret" in log.report(include=["summary", "diffs"], mask=["note"])
            False
        """
        made: str | Path = import_module("auditlab.report").report(
            self, path, include=include, start=start, end=end, by=by, mask=mask, omit=omit, rows=rows,
            documents=documents, read_from=read_from, title=title,
        )  # fmt: skip
        return made

    def _open(self, name: str, **options: object) -> View:
        """The view ``auditlab.widgets.<name>.<name>(log, **options)``."""
        opened = getattr(import_module(f"auditlab.widgets.{name}"), name)
        return cast("View", opened(self, **options))

"""Altair charts of a log, for people who make their own: plain charts, to change, layer and save as any other.

They come with the extra ``auditlab[charts]``. Each function gives an ``altair.Chart`` over a small frame of counts or
changes; all that Altair can do with a chart can be done with it. ``log.dashboard()`` and ``log.explore()`` need no
extra, show larger logs, and lead from each mark to its rows.

Times stand as the clocks of the log's time zone show them, whatever the browser's zone is: they are given to Vega as
UTC, with a UTC scale. Where clocks go back, the hour that comes twice is drawn over itself.

Altair writes a chart's rows into the ``<script>`` of a page as they are, where ``</script>`` in a value would end it.
So the rows are given as JSON text in which ``<`` is escaped. Altair cannot look into it: an encoding of your own names
the type of its field, as in ``color="operation:N"``.

In a notebook a chart is drawn by scripts that Altair takes from the network. Where there is none,
``altair.renderers.enable("html", template="inline")`` brings them along in each output, and
``chart.save("chart.html", inline=True)`` in a page; SVG and PNG need none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import polars.selectors as cs

from auditlab.errors import BadOption, MissingExtra
from auditlab.widgets.palette import OPERATIONS
from auditlab.widgets.picks import collected

if TYPE_CHECKING:
    import altair as alt

    from auditlab.changelog import ChangeLog

__all__ = ["activity", "hours", "timeline"]

MOST = 5_000
"""The most rows of a chart: Altair puts them into the page as JSON."""

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TOLD = ("changed_by", "operation", "entity_type", "entity_id", "field", "old", "new", "id")
_LANES = {"field": "field", "user": "changed_by", "operation": "operation", "entity": "entity_id"}


def activity(
    log: ChangeLog[Any], *, by: Literal["operation", "user"] = "operation", period: str | None = None
) -> alt.Chart:
    """Changes over time as bars, a colour for each operation or user.

    Args:
        log: The log, or any part of it.
        by: ``operation`` or ``user``.
        period: second, minute, hour, day, week, month or year; without one, what suits the log's length.

    Returns:
        A chart over ``log.activity()``'s rows: period (the log's wall time), operation or changed_by, changes and
        transactions.

    Raises:
        MissingExtra: Altair is not installed.
        BadOption: no such ``by`` or period, or more rows than a chart holds.
    """
    altair = _altair()
    if by not in ("operation", "user"):
        raise BadOption(f"a chart of activity is by 'operation' or 'user', not by {by!r}.")
    found = log.activity(period=period)
    rows, name = (found.by_operation, "operation") if by == "operation" else (found.by_user, "changed_by")
    rows = _few(rows.with_columns(_wall("period", log), pl.col(name).fill_null("no user")))
    colour = _colours(altair) if by == "operation" else altair.Color(f"{name}:N", title="user")
    chart: alt.Chart = (
        altair.Chart(_inert(altair, rows), title=f"Changes by {found.period} and {by}")
        .mark_bar()
        .encode(
            x=_time(altair, "period", log),
            y=altair.Y("sum(changes):Q", title="changes"),
            color=colour,
            tooltip=[
                altair.Tooltip("period:T", format="%Y-%m-%d %H:%M:%S"),
                f"{name}:N",
                "changes:Q",
                "transactions:Q",
            ],
        )
    )
    return chart


def hours(log: ChangeLog[Any]) -> alt.Chart:
    """Changes by weekday and hour of the log's zone: the darker, the more.

    Args:
        log: The log, or any part of it.

    Returns:
        A chart over ``log.activity().by_hour`` with the weekday as a word.

    Raises:
        MissingExtra: Altair is not installed.
    """
    altair = _altair()
    names = pl.col("weekday").replace_strict(dict(enumerate(_WEEKDAYS, 1)), return_dtype=pl.String)
    rows = log.activity().by_hour.with_columns(names)
    chart: alt.Chart = (
        altair.Chart(_inert(altair, rows), title=f"Changes by weekday and hour ({log.facts.zone})")
        .mark_rect()
        .encode(
            x=altair.X("hour:O", title="hour", scale=altair.Scale(domain=list(range(24)))),
            y=altair.Y("weekday:O", sort=list(_WEEKDAYS), title=None, scale=altair.Scale(domain=list(_WEEKDAYS))),
            color=altair.Color("changes:Q", title="changes", scale=altair.Scale(scheme="blues")),
            tooltip=["weekday:O", "hour:O", "changes:Q", "transactions:Q"],
        )
    )
    return chart


def timeline(log: ChangeLog[Any], *, lanes: Literal["field", "user", "operation", "entity"] = "field") -> alt.Chart:
    """Each change as a mark at its time, in lanes; ``log.timeline()``'s rows.

    Args:
        log: The log, or any part of it: ``log.entity(...)``.
        lanes: ``field``, ``user``, ``operation`` or ``entity``.

    Returns:
        A chart over the timeline's rows, its time as the log's wall time, its ids as texts.

    Raises:
        MissingExtra: Altair is not installed.
        BadOption: no such lanes, or more rows than a chart holds.
    """
    altair = _altair()
    if lanes not in _LANES:
        raise BadOption(f"no lanes by {lanes!r}. There are {', '.join(map(repr, _LANES))}.")
    rows = _few(collected(log.timeline())).with_columns(
        _wall("changed_at", log),
        pl.col("id", "transaction_id").cast(pl.String),
        pl.col("changed_by").fill_null("no user"),
        pl.col("field").fill_null("(no field)"),
    )
    shapes = {
        name: {"ring": "circle", "triangle": "triangle-up"}.get(mark.shape, mark.shape)
        for name, mark in OPERATIONS.items()
    }
    chart: alt.Chart = (
        altair.Chart(_inert(altair, rows), title="Who did what when")
        .mark_point(filled=True, size=60)
        .encode(
            x=_time(altair, "changed_at", log),
            y=altair.Y(f"{_LANES[lanes]}:N", title=None),
            color=_colours(altair),
            shape=altair.Shape("operation:N", scale=altair.Scale(domain=list(shapes), range=list(shapes.values()))),
            tooltip=[_instant(altair, "changed_at"), *(f"{name}:N" for name in _TOLD)],
        )
    )
    return chart


def _altair() -> Any:  # noqa: ANN401 - the module, where it is installed
    try:
        import altair  # noqa: ICN001, PLC0415 - an optional part
    except ImportError as exc:
        raise MissingExtra("Altair charts are an optional part. Install it: pip install 'auditlab[charts]'") from exc
    return altair


def _wall(name: str, log: ChangeLog[Any]) -> pl.Expr:
    """A time as the clocks of the log's zone show it, in milliseconds, marked as UTC so that no browser turns it."""
    local = pl.col(name).dt.convert_time_zone(log.facts.zone)
    return local.dt.replace_time_zone(None).dt.replace_time_zone("UTC").dt.cast_time_unit("ms").alias(name)


def _time(altair: Any, name: str, log: ChangeLog[Any]) -> Any:  # noqa: ANN401 - Altair's
    return altair.X(f"{name}:T", title=f"time ({log.facts.zone})", scale=altair.Scale(type="utc"))


def _instant(altair: Any, name: str) -> Any:  # noqa: ANN401 - Altair's
    """A time in a tooltip, as the axis shows it: formatted as UTC."""
    return altair.Tooltip(f"{name}:T", timeUnit="utcyearmonthdatehoursminutesseconds", format="%Y-%m-%d %H:%M:%S")


def _colours(altair: Any) -> Any:  # noqa: ANN401 - Altair's
    return altair.Color(
        "operation:N", scale=altair.Scale(domain=list(OPERATIONS), range=[mark.colour for mark in OPERATIONS.values()])
    )


def _inert(altair: Any, rows: pl.DataFrame) -> Any:  # noqa: ANN401 - Altair's
    """The rows as JSON text that ends no script of a page, whatever stands in their values."""
    told = rows.with_columns(cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")).to_dicts()
    text = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    return altair.InlineData(values=text, format=altair.JsonDataFormat(type="json"))


def _few(rows: pl.DataFrame) -> pl.DataFrame:
    if rows.height > MOST:
        raise BadOption(
            f"{rows.height:,} rows are more than an Altair chart holds ({MOST:,}). Select less of the log (of, entity, "
            "between), take a longer period, or look at all of it with log.explore() or log.dashboard()."
        )
    return rows

"""Tables as HTML that needs no script: for where widgets do not run, for documents, and for screen readers."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from auditlab.cells import plain_text
from auditlab.clock import zone as zone_named
from auditlab.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

__all__ = ["cell", "table"]


def cell(value: Any, zone: str = "UTC") -> str:  # noqa: ANN401 - the values of a result are of any type
    """One value as HTML: escaped, a null told from the text ``null``, a time in the zone.

    >>> cell("<b>"), cell(None)
    ('&lt;b&gt;', '<span class="al-null">null</span>')
    """
    if value is None:
        return '<span class="al-null">null</span>'
    if isinstance(value, datetime) and value.tzinfo is not None:
        return escape(value.astimezone(zone_named(zone)).isoformat(sep=" "))
    text = plain_text(value)
    return escape(printable(text)) if text else '<span class="al-null">empty text</span>'


def table(
    frame: pl.DataFrame,
    caption: str,
    *,
    limit: int = 200,
    zone: str = "UTC",
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> str:
    """A frame as a table; where it is longer than ``limit``, a line under it says how many rows are not shown.

    Args:
        frame: The rows.
        caption: What they are; times are said to be in ``zone`` where there are any.
        limit: The most rows.
        zone: The time zone of the times.
        names: Column headings in other words.
        note: What to say under it in place of that line.
    """
    told = names or {}
    timed = any(isinstance(getattr(kind, "time_zone", None), str) for kind in frame.dtypes)
    head = "".join(f'<th scope="col">{escape(printable(told.get(name, name)))}</th>' for name in frame.columns)
    rows = (
        "<tr>" + "".join(f"<td>{cell(value, zone)}</td>" for value in row) + "</tr>"
        for row in frame.head(limit).iter_rows()
    )
    words = printable(f"{caption} (times are {zone})" if timed else caption)
    said = note or ("" if frame.height <= limit else _rest(frame.height, limit))
    more = f'<p class="al-note">{escape(printable(said))}</p>' if said else ""
    body = "".join(rows)
    return (
        f'<div class="al-scroll" tabindex="0" role="region" aria-label="{escape(words)}">'
        f'<table class="al-table"><caption>{escape(words)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def _rest(height: int, limit: int) -> str:
    return f"The first {limit:,} of {height:,} rows; to_csv() and .frame have all of them."

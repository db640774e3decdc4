"""The commands that ask a log: as-of, history, diffs, compare, blame, timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import typer

from auditlab.cli import options as opt
from auditlab.cli.question import Question, asks
from auditlab.errors import BadOption, UnknownField

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import auditlab as al

__all__ = ["add_to", "picked"]

PANEL = "Ask"
FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"
"""A window that is open at one end."""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this group."""
    app.command("as-of", rich_help_panel=PANEL)(as_of)
    app.command(rich_help_panel=PANEL)(history)
    app.command(rich_help_panel=PANEL)(diffs)
    app.command(rich_help_panel=PANEL)(compare)
    app.command(rich_help_panel=PANEL)(blame)
    app.command(rich_help_panel=PANEL)(timeline)


@asks
def as_of(
    question: Question,
    *,
    at: opt.At = None,
    change: opt.AfterChange = None,
    transaction: opt.AfterTransaction = None,
    mark: opt.AsOfMark = None,
    snapshot: opt.AsOfSnapshot = None,
    field: opt.Field = None,
    no_fields: opt.NoFields = False,
    marks: opt.MarksFile = None,
) -> None:
    """The rows as they were: one row a live entity.

    The column [bold]certain[/bold] is false where the log itself puts the state in doubt: the next change found
    another one, the order of its changes cannot be told, or a transaction may still have been at work at that time.
    As of a mark ([bold]auditlab mark[/bold]) nothing is left open.

    [bold]Examples[/bold]

      auditlab as-of SOURCE -t orders.orders                                the latest state

      auditlab as-of SOURCE -t orders.orders --at 2024-06-01T12:00+02:00    at a time

      auditlab as-of SOURCE -t orders.orders -e 6f1c... --id 4711           one order, after change 4711

      auditlab as-of SOURCE -t orders.orders --mark "month end"             exactly what was committed then

      auditlab as-of SOURCE -t orders.orders --field status --field total   two fields of each
    """
    if field and no_fields:
        raise BadOption("as-of takes --field NAME or --no-fields, not both.")
    shown = [] if no_fields else field or None
    when = _told(at=at, change=change, transaction=transaction, mark=mark, snapshot=snapshot)
    question.answer(
        "as_of",
        lambda log: _marked(log, marks).as_of(
            question.moment(log, at), id=change, transaction=transaction, mark=mark, snapshot=snapshot, fields=shown
        ),
        title=f"As of {when}",
        whole=transaction is not None,  # its changes of other types tell where it ends
    )


@asks
def history(question: Question) -> None:
    """Every version of each entity: from when to when it was true, and who made it.

    [bold]Examples[/bold]

      auditlab history SOURCE -t orders.orders -e 6f1c...                   one order

      auditlab history SOURCE -t orders.orders -f parquet -o versions.parquet

      auditlab history SOURCE -t orders.orders --rename name=title          a field that was renamed
    """
    question.answer("history", lambda log: log.history(), title="History")


@asks
def diffs(
    question: Question,
    *,
    by: opt.By = None,
    start: opt.From = None,
    end: opt.To = None,
    transaction: opt.Transaction = None,
    correlation: opt.Correlation = None,
    field: opt.Field = None,
    paths: opt.Paths = False,
    ignore: opt.Ignore = None,
    tolerance: opt.Tolerance = None,
    list_key: opt.ListKey = None,
) -> None:
    """What each change did: one row a changed field, with the old and the new value as recorded.

    [bold]Examples[/bold]

      auditlab diffs SOURCE -t orders.orders --field total                  who changed totals

      auditlab diffs SOURCE --by 11111111-... --from 2024-06-01 --to 2024-07-01

      auditlab diffs SOURCE --transaction 90210 -f csv -o transaction.csv

      auditlab diffs SOURCE --paths --ignore updated_at --tolerance 0.01    inside of JSON, too
    """
    shown = _view(paths=paths, ignore=ignore, tolerance=tolerance, list_key=list_key)

    def pick(log: al.ChangeLog[Any]) -> al.ChangeLog[Any]:
        return picked(question, log, by=by, start=start, end=end, transaction=transaction, correlation=correlation)

    question.answer(
        "diffs",
        lambda log: _of_fields(log, pick(log).diffs(**shown), field),
        title="Differences",
    )


@asks
def compare(
    question: Question,
    *,
    start: opt.First = None,
    end: opt.Second = None,
    between: opt.BetweenMarks = None,
    steps: opt.Steps = False,
    field: opt.Field = None,
    paths: opt.Paths = False,
    ignore: opt.Ignore = None,
    tolerance: opt.Tolerance = None,
    list_key: opt.ListKey = None,
    marks: opt.MarksFile = None,
) -> None:
    """Two instants against each other: what was added, removed and modified in between.

    [bold]Examples[/bold]

      auditlab compare SOURCE -t orders.orders --from 2024-06-01 --to 2024-07-01

      auditlab compare SOURCE -t orders.orders --from 2024-06-01 --to 2024-07-01 --steps

      auditlab compare SOURCE -t orders.orders --marks "month end" closing   exactly, by marks
    """
    shown = _view(paths=paths, ignore=ignore, tolerance=tolerance, list_key=list_key)
    times = [name for name, time in (("--from", start), ("--to", end)) if time is not None]
    if len(times) != (0 if between else 2) or (between and steps):
        given = [*times, *["--marks"] * bool(between), *["--steps"] * steps]
        raise BadOption(
            "compare takes --from TIME and --to TIME, or --marks EARLIER LATER without --steps; "
            f"got {', '.join(given) or 'neither'}."
        )

    def ask(log: al.ChangeLog[Any]) -> pl.DataFrame | pl.LazyFrame:
        log = _marked(log, marks)
        moments = (question.moment(log, start), question.moment(log, end))
        return _of_fields(log, log.compare(*moments, marks=between, steps=steps, **shown), field)

    first, second = between or (start, end)
    question.answer("compare", ask, title=f"{first} against {second}")


@asks
def blame(
    question: Question,
    *,
    at: opt.At = None,
    mark: opt.AsOfMark = None,
    snapshot: opt.AsOfSnapshot = None,
    field: opt.Field = None,
    marks: opt.MarksFile = None,
) -> None:
    """Who last set each field of each row, when, in which change, and from what.

    Where the log cannot name a change, [bold]origin[/bold] says why: [bold]unknown[/bold] was set before the log
    began, [bold]unlogged[/bold] between two logged changes, by something that was not recorded.

    [bold]Examples[/bold]

      auditlab blame SOURCE -t orders.orders -e 6f1c...                     one order, field by field

      auditlab blame SOURCE -t orders.orders --field total --at 2024-06-01

      auditlab blame SOURCE -t orders.orders --mark "month end"             by what was committed then
    """

    def ask(log: al.ChangeLog[Any]) -> pl.DataFrame | pl.LazyFrame:
        log = _marked(log, marks)
        return _of_fields(log, log.blame(at=question.moment(log, at), mark=mark, snapshot=snapshot), field)

    question.answer("blame", ask, title=f"Blame as of {_told(at=at, mark=mark, snapshot=snapshot)}")


@asks
def timeline(
    question: Question,
    *,
    by: opt.By = None,
    start: opt.From = None,
    end: opt.To = None,
    transaction: opt.Transaction = None,
    correlation: opt.Correlation = None,
    field: opt.Field = None,
) -> None:
    """Who did what, when, field by field, in the order in which it happened.

    [bold]Examples[/bold]

      auditlab timeline SOURCE -t orders.orders -e 6f1c...

      auditlab timeline SOURCE --correlation 5a0b... --limit 0
    """

    def pick(log: al.ChangeLog[Any]) -> al.ChangeLog[Any]:
        return picked(question, log, by=by, start=start, end=end, transaction=transaction, correlation=correlation)

    question.answer(
        "timeline",
        lambda log: _of_fields(log, pick(log).timeline(), field),
        title="Timeline",
    )


def picked(
    question: Question,
    log: al.ChangeLog[Any],
    *,
    by: str | None,
    start: str | None,
    end: str | None,
    transaction: int | None,
    correlation: str | None,
) -> al.ChangeLog[Any]:
    """The log with the changes that the options pick."""
    if by is not None:
        log = log.by(by)
    if start is not None or end is not None:
        log = log.between(*(question.moment(log, one, bound=True) for one in (start or FIRST, end or LAST)))
    if transaction is not None:
        log = log.transaction(transaction)
    if correlation is not None:
        log = log.correlation(correlation)
    return log


def _told(*, at: str | None, **others: object) -> str:
    """As of when an answer is, for its title."""
    return at or next((f"{name} {value}" for name, value in others.items() if value is not None), "now")


def _marked(log: al.ChangeLog[Any], marks: Path | None) -> al.ChangeLog[Any]:
    """The log with the marks in a file beside it, where one is given."""
    return log if marks is None else log.with_marks(marks)


def _view(
    *, paths: bool, ignore: Sequence[str] | None, tolerance: Sequence[str] | None, list_key: Sequence[str] | None
) -> dict[str, Any]:
    """The options of diffs and compare that say how changed fields are shown."""
    amounts: dict[str, str] = {}
    for text in tolerance or ():
        field, _, number = text.rpartition("=")
        amounts[field or "*"] = number
    keys: dict[str, str] = {}
    for text in list_key or ():
        field, equals, key = text.rpartition("=")
        if not equals:
            raise BadOption(f"--list-key takes FIELD=KEY, e.g. lines=id, got {text!r}.")
        keys[field] = key
    if "*" in amounts:  # what is named for one field comes before what is named for all
        amounts["*"] = amounts.pop("*")
    return {"paths": paths, "ignore": list(ignore or ()), "tolerance": amounts or None, "list_keys": keys or None}


def _of_fields(
    log: al.ChangeLog[Any], rows: pl.DataFrame | pl.LazyFrame, fields: Sequence[str] | None
) -> pl.DataFrame | pl.LazyFrame:
    if not fields:
        return rows
    known = set(log.fields()["field"])
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise UnknownField(
            f"no field {', '.join(map(repr, unknown))} in this log. It has {', '.join(map(repr, sorted(known)))}."
        )
    return rows.filter(pl.col("field").is_in(list(fields)))

"""Small change logs for tests, written by hand: only what matters is said, the rest is filled in."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.errors import BadOption
from auditlab.schema import CHANGES, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["json_text", "make_log"]

START = datetime(2024, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def json_text(value: Any) -> str:  # noqa: ANN401 - anything that JSON can say
    """A value as JSON text, exactly: a Decimal keeps its digits, times and dates are ISO 8601.

    Example:
        >>> json_text({"total": Decimal("1.10"), "tags": ["a", None]})
        '{"total": 1.10, "tags": ["a", null]}'
    """
    match value:
        case Decimal():
            return str(value)
        case date():
            return f'"{value.isoformat()}"'
        case list() | tuple():
            return "[" + ", ".join(json_text(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{json_text(str(key))}: {json_text(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def make_log(
    steps: Iterable[Sequence[Any]],
    *,
    entity_type: str = "t",
    start: datetime = START,
    step: timedelta = SECOND,
) -> pl.DataFrame:
    """A change log in the canonical columns, one row a step.

    A step is ``(operation, entity_id, after, columns)``, cut short where the rest is not needed. ``after`` is a
    mapping (Decimals keep their digits) or JSON text; a DELETE and a TRUNCATE have none, and a TRUNCATE has no
    entity id either. ``columns`` sets any canonical column of that row; a snapshot in it may be a mapping. Before
    images are filled in from what the steps before it left. Each step is a transaction of its own, ``step`` after
    the one before; ids count from 1.

    Args:
        steps: The steps, in the order of their ids.
        entity_type: The entity type of steps that set none.
        start: The time of the first step, UTC.
        step: The time from one step to the next.

    Raises:
        BadOption: a step has an unknown operation or column, or not the parts that its operation takes.

    Example:
        >>> log = make_log([("INSERT", "a", {"x": 1}), ("UPDATE", "a", {"x": 2}), ("DELETE", "a")])
        >>> log["before_snapshot"].to_list()
        [None, '{"x": 1}', '{"x": 2}']
    """
    live: dict[tuple[str, str], str] = {}
    rows: list[dict[str, Any]] = []
    for number, given in enumerate(steps, 1):
        operation, entity_id, after, columns = _parts(given)
        row: dict[str, Any] = dict.fromkeys(CHANGES) | {
            "id": number,
            "entity_type": entity_type,
            "entity_id": entity_id,
            "operation": operation,
            "changed_at": start + (number - 1) * step,
            "after_snapshot": after,
            "transaction_id": number,
        }
        row |= {name: _recorded(name, value) for name, value in columns.items()}
        if operation in ("UPDATE", "DELETE") and "before_snapshot" not in columns:
            row["before_snapshot"] = live.get((row["entity_type"], row["entity_id"]))
        _replay(live, row)
        rows.append(row)
    return pl.DataFrame(rows, schema=CHANGES, orient="row")


def _parts(given: Sequence[Any]) -> tuple[str, str | None, str | None, Mapping[str, Any]]:
    """A step's four parts, whatever was left out."""
    operation, *rest = given
    if operation not in OPERATIONS:
        raise BadOption(f"no operation {operation!r} in step {given!r}. Use one of {', '.join(OPERATIONS)}.")
    columns: Mapping[str, Any] = {}
    takes = {"TRUNCATE": 0, "DELETE": 1}.get(operation, 2)
    if len(rest) == takes + 1 and isinstance(rest[-1], dict):
        columns = rest.pop()
    if len(rest) != takes or not columns.keys() <= CHANGES.keys():
        names = ("entity_id", "after")[:takes]
        raise BadOption(
            f"cannot read step {given!r}. Write ({', '.join((repr(operation), *names))}), "
            "and after that, if you like, a mapping of canonical columns."
        )
    entity_id, after = (*rest, None, None)[:2]
    return operation, entity_id, _recorded("after_snapshot", after), columns


def _recorded(name: str, value: Any) -> Any:  # noqa: ANN401 - a column's value
    """A column's value as a log records it: documents are JSON text."""
    documents = ("before_snapshot", "after_snapshot", "changed_fields", "metadata")
    return json_text(value) if name in documents and not isinstance(value, str | None) else value


def _replay(live: dict[tuple[str, str], str], row: Mapping[str, Any]) -> None:
    """Keep the newest image of each entity, for the before image of its next change."""
    if row["operation"] == "TRUNCATE":
        for entity in [entity for entity in live if entity[0] == row["entity_type"]]:
            del live[entity]
    elif row["operation"] == "DELETE":
        live.pop((row["entity_type"], row["entity_id"]), None)
    elif row["after_snapshot"] is not None:
        live[row["entity_type"], row["entity_id"]] = row["after_snapshot"]

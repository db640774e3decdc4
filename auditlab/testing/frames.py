"""Whether a frame with typed columns shows the states that it should: cell by cell, as values."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import Canonical, Exact, State, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

__all__ = ["assert_states", "column_of", "shows"]


def shows(cell: Any, value: Exact | None, *, verbatim: bool = False) -> bool:  # noqa: ANN401 - a frame's cell
    """Whether a typed cell says the recorded value exactly. An empty cell is null or missing.

    A float never does: a number that has passed through one is not what was recorded. A text may be the text
    itself or, where no type fits the column, its JSON; ``verbatim`` means the JSON exactly as it was recorded, else
    equal objects and arrays will do.
    """
    if cell is None or value is None:
        return cell is None and (value is None or value.value == ("null",))
    decoded = value.decoded
    match cell:
        case bool():
            same = decoded is cell
        case int() | Decimal():
            same = value.value == canonical(cell)
        case datetime() if cell.tzinfo is not None:
            same = value.value == canonical(cell.isoformat())
        case datetime():
            same = isinstance(decoded, str) and datetime.fromisoformat(decoded) == cell
        case date():
            same = isinstance(decoded, str) and decoded == cell.isoformat()
        case str():
            same = cell in (decoded, value.text) or (not verbatim and _nested(cell) == value.value)
        case _:
            same = False
    return same


def _nested(text: str) -> Canonical | None:
    """The value of a JSON object or array; None for every other text."""
    try:
        return canonical(json.loads(text, parse_float=Decimal)) if text[:1] in ("{", "[") else None
    except ValueError:
        return None


def column_of(frame: pl.DataFrame, name: str) -> str | None:
    """The column that holds the field of that name: a name that is one of ours stands behind ``field.``."""
    return next((column for column in (f"field.{name}", name) if column in frame.columns), None)


def assert_states(
    frame: pl.DataFrame,
    states: Mapping[str, State],
    *,
    own: Sequence[str] = ("entity_id", "certain"),
    verbatim: bool = False,
) -> None:
    """Assert that a frame of one entity type (as ``as_of`` gives it) shows exactly these states.

    Every entity, every field and every column counts: a field that has no column, and a column that is no field of
    any state and not empty, are differences.

    Args:
        frame: One row an entity, sorted by ``entity_id``.
        states: The true states by entity id.
        own: The columns of the frame that are no fields.
        verbatim: Nested values must be the very text of ``states``, not only equal to it.

    Raises:
        AssertionError: they differ; the message names the entities, the fields and both values.
    """
    ids = frame["entity_id"].to_list()
    if ids != sorted(states):
        lost, extra = sorted(states.keys() - set(ids)), sorted(set(ids) - states.keys())
        raise AssertionError(
            f"other entities, or another order: missing {lost[:5]}, not expected {extra[:5]}, {ids[:5]}"
        )
    names = {name for state in states.values() for name in state}
    columns = {name: column_of(frame.drop(own), name) for name in names}
    beside = [column for column in frame.columns if column not in (*own, *columns.values())]
    faults = list(_differences(frame.to_dicts(), states, columns, verbatim=verbatim))
    faults += [f"column {name!r} is not empty" for name in beside if frame[name].null_count() < frame.height]
    if faults:
        raise AssertionError(f"{len(faults)} differences, e.g. " + "; ".join(faults[:5]))


def _differences(
    rows: Iterable[Mapping[str, Any]],
    states: Mapping[str, State],
    columns: Mapping[str, str | None],
    *,
    verbatim: bool,
) -> Iterable[str]:
    for row in rows:
        state = states[row["entity_id"]]
        for name, column in columns.items():
            cell = None if column is None else row[column]
            if not shows(cell, state.get(name), verbatim=verbatim):
                recorded = state[name].text if name in state else "nothing"
                yield f"{row['entity_id']}.{name}: recorded {recorded}, shown {cell!r}"

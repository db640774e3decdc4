"""Which rows got another key, and which moved between partitions, found row by row in plain Python."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from auditlab.testing.equality import Exact, read_document
from auditlab.testing.repair import ABSENT, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["KeyChange", "folded", "halves", "key_changes"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One change of a key: the ids of the changes that ended the old one and began the new one, often the same."""

    ended_by: int
    begun_by: int
    entity_type: str
    old: str
    new: str


def key_changes(rows: Sequence[Row]) -> list[KeyChange]:
    """The changes of keys that the rows (by id) tell for certain.

    An UPDATE gave its row another key where a field that holds the entity's id in every after image that has the field
    holds another value in its before image. Of several such fields ``id`` counts, where it is one, else all of them
    must agree; and where there is no ``id``, the log must have more than this one entity, or the old one. A DELETE and
    an INSERT that name each other in their metadata did so, too.
    """
    found = []
    for entity_type in {row["entity_type"] for row in rows}:
        own = [row for row in rows if row["entity_type"] == entity_type]
        found += list(_by_images(entity_type, own)) + list(_by_metadata(entity_type, own))
    return sorted(found, key=lambda change: (change.begun_by, change.ended_by))


def _by_images(entity_type: str, rows: Sequence[Row]) -> Iterable[KeyChange]:
    images = [(row["entity_id"], read_document(row["after_snapshot"])) for row in rows if row["after_snapshot"]]
    entities = {row["entity_id"] for row in rows} - {None}
    for row in rows:
        if row["operation"] != "UPDATE" or row["before_snapshot"] is None or row["after_snapshot"] is None:
            continue
        was, now = read_document(row["before_snapshot"]), read_document(row["after_snapshot"])
        entity_id = row["entity_id"]
        named = {name for name, value in now.items() if name in was and _words(value) == entity_id}
        named = {"id"} if "id" in named else named
        keys = {name for name in named if all(_words(image.get(name)) in (None, each) for each, image in images)}
        old = {_words(was[name]) for name in keys}
        if len(old) == 1 and not old & {entity_id, None} and ("id" in keys or len(entities) > 1 or old & entities):
            yield KeyChange(row["id"], row["id"], entity_type, old.pop() or "", entity_id)


def _words(value: Exact | None) -> str | None:
    """A field's value as an entity id would say it; None where there is none."""
    if value is None or value.value == ("null",):
        return None
    return json.loads(value.text) if value.text.startswith('"') else value.text


def _by_metadata(entity_type: str, rows: Sequence[Row]) -> Iterable[KeyChange]:
    ended: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    begun: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in rows:
        told = json.loads(row["metadata"]) if row["metadata"] else {}
        if row["operation"] == "DELETE" and "rekeyed_to" in told:
            ended[row["transaction_id"], row["entity_id"], told["rekeyed_to"]].append(row["id"])
        if row["operation"] == "INSERT" and "rekeyed_from" in told:
            begun[row["transaction_id"], told["rekeyed_from"], row["entity_id"]].append(row["id"])
    for pair, ends in ended.items():
        for left, came in zip(ends, begun[pair], strict=False):
            yield KeyChange(left, came, entity_type, pair[1], pair[2])


def halves(changes: Sequence[KeyChange], rows: Sequence[Row]) -> dict[tuple[str, str, int], Written]:
    """What stands for a change of a key in each of its entities: type, entity id and the row's id to that.

    In the old entity it is a change to nothing, in the new one a change from nothing that is an UPDATE of the state
    ``goes_on_from``.
    """
    by_id = {row["id"]: row for row in rows}
    found = {}
    for change in changes:
        left, came = Written.of(by_id[change.ended_by]), Written.of(by_id[change.begun_by])
        was = left.before
        found[change.entity_type, change.old, change.ended_by] = replace(left, after=ABSENT, link=change, ends=True)
        row = came.row | {"operation": "UPDATE"}
        found[change.entity_type, change.new, change.begun_by] = replace(
            came, row=row, before=ABSENT, link=change, goes_on_from=was
        )
    return found


def folded(ordered: Iterable[Written]) -> list[Written]:
    """One entity's changes with each DELETE and INSERT in two partitions of one transaction as the UPDATE they are."""
    found: list[Written] = []
    for change in ordered:
        last = found[-1] if found else None
        if last is not None and _moved(last, change):
            row = change.row | {"operation": "UPDATE"}
            found[-1] = replace(change, row=row, before=last.before)
        else:
            found.append(change)
    return found


def _moved(left: Written, came: Written) -> bool:
    transaction, places = came.row["transaction_id"], [_partition(each.row) for each in (left, came)]
    return (
        (left.row["operation"], came.row["operation"]) == ("DELETE", "INSERT")
        and left.link is came.link is None
        and transaction is not None
        and left.row["transaction_id"] == transaction
        and None not in places
        and places[0] != places[1]
    )


def _partition(row: Mapping[str, Any]) -> str | None:
    told: str | None = row.get("partition")
    if told is None and row["metadata"]:
        told = json.loads(row["metadata"]).get("partition")
    return told

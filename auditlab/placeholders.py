"""Values that a source did not send because they had not changed: carried forward, never shown as an edit."""

from __future__ import annotations

import json
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import polars as pl

from auditlab.documents import raw_fields
from auditlab.threads import in_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["UNAVAILABLE", "carry_forward"]

UNAVAILABLE = '"__debezium_unavailable_value"'
"""What Debezium writes for an unchanged TOAST value, as raw JSON text."""


def carry_forward(changes: pl.DataFrame, steps: pl.DataFrame, same: pl.Series | None = None) -> pl.DataFrame:
    """``changes`` with each placeholder replaced by the value that the field had; without one, ``changes`` itself.

    A placeholder whose value the log never held is left out of the document: the field's value is not known.

    Args:
        changes: One entity type's changes, with ``position``.
        steps: The type's steps, by entity and position.
        same: By row, where it is known, the row whose after image is the same text as the before image.
    """
    images = ("before_snapshot", "after_snapshot")
    before, after = (changes[name] for name in images)
    alone = before if same is None else before.filter(same.is_null())  # the others are looked into as after images
    if not any(in_pieces(_unavailable, side).any() for side in (after, alone)):
        return changes
    touched = changes.filter(_unavailable(before).fill_null(value=False) | _unavailable(after).fill_null(value=False))
    entities = touched["entity_id"].unique()
    linked = steps.filter(pl.col("link").is_not_null())["entity"]
    own = pl.col("entity_id").is_in(entities.implode()) | pl.col("entity").is_in(linked.implode())
    told = steps.filter(own).with_columns(pl.coalesce("before_at", "position").alias("before_at"))
    for place, name in (("before_at", images[0]), ("position", images[1])):
        image = changes.select(pl.col("position").alias(place), name)
        told = told.join(image, on=place, how="left", maintain_order="left")
    texts: tuple[dict[int, str], dict[int, str]] = ({}, {})
    states: dict[int, dict[str, str]] = {}
    passed_on: dict[int, dict[str, str]] = {}
    for row in _in_turn(told):
        entity, number, before, after = row["entity"], row["link"], *(row[name] for name in images)
        goes_on = number is not None and not row["ends"]
        state = known = passed_on.get(number, {}) if goes_on else states.get(entity, {})
        if before is not None:
            fields = _resolved(raw_fields(before), state)
            texts[0][row["before_at"]] = _written(before, fields)
            known = {**state, **fields}
        if row["ends"]:
            passed_on[number], states[entity] = known, {}
        elif after is not None:
            states[entity] = _resolved(raw_fields(after), known)
            texts[1][row["position"]] = _written(after, states[entity])
    for name, mended in zip(images, texts, strict=True):
        columns = {"position": list(mended), name: list(mended.values())}
        patch = pl.DataFrame(columns, schema={"position": pl.UInt32, name: pl.String})
        changes = changes.update(patch, on="position", how="left")
    return changes


def _unavailable(texts: pl.Series) -> pl.Series:
    return texts.str.contains(UNAVAILABLE, literal=True)


def _in_turn(steps: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The steps of each entity in their order, what goes on under a new key after the end of the old one."""
    ended: set[int] = set()
    waiting: dict[int, Iterator[dict[str, Any]]] = {}
    for _, group in groupby(steps.iter_rows(named=True), key=itemgetter("entity")):
        ready = [iter(list(group))]
        while ready:
            rows = ready.pop()
            for row in rows:
                number = row["link"]
                if number is not None and not row["ends"] and number not in ended:
                    waiting[number] = chain([row], rows)
                    break
                yield row
                if number is not None and row["ends"]:
                    ended.add(number)
                    if number in waiting:
                        ready.append(waiting.pop(number))
    for rows in waiting.values():  # no order takes them: a log in disorder
        yield from rows


def _resolved(fields: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    pairs = ((name, known.get(name) if raw == UNAVAILABLE else raw) for name, raw in fields.items())
    return {name: raw for name, raw in pairs if raw is not None}


def _written(text: str, fields: Mapping[str, str]) -> str:
    if UNAVAILABLE not in text:
        return text
    return "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {raw}" for name, raw in fields.items()) + "}"

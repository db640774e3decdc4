"""What the oracle tells as the frames that the verbs answer with."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.testing import assert_frame_equal

from auditlab.temporal.blame import BLAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlab.testing import Oracle
    from auditlab.testing.settings import Blamed

__all__ = ["assert_blame", "text_fields", "told"]


def told(
    oracle: Oracle, found: list[Any], schema: Mapping[str, pl.DataType], *, sides: tuple[str, ...] = ("old", "new")
) -> pl.DataFrame:
    """Field changes as the verbs tell them: null where there is no value, texts without their quotes.

    In a field that ever held anything but texts, texts keep their quotes: "1.10" is not 1.10.
    """
    texts = text_fields(oracle)
    rows = []
    for each in found:
        row = {name: getattr(each, name) for name in schema}
        plain = (each.entity_type, each.field) in texts
        for side in sides:
            row[side] = None if row[side] in (None, "null") else json.loads(row[side]) if plain else row[side]
        rows.append(row)
    return pl.DataFrame(rows, schema=schema, orient="row")


def text_fields(oracle: Oracle) -> set[tuple[str, str]]:
    """The fields that only ever held texts, by entity type."""
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entity_type, image in oracle.images:
        for name, value in image.items():
            if not value.unavailable:
                kinds[entity_type, name].add(value.value[0])
    return {field for field, held in kinds.items() if held <= {"text", "instant", "null"}}


def assert_blame(shown: pl.DataFrame, oracle: Oracle, found: list[Blamed]) -> None:
    """A blame names what the oracle found; ``certain`` is the engine's own to say."""
    schema = {name: dtype for name, dtype in BLAME.items() if name != "certain"}
    own = shown.select(list(schema)).sort("entity_type", "entity_id", "field")
    assert_frame_equal(own, told(oracle, found, schema, sides=("value", "old")))

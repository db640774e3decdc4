"""Field states: each field's recorded text for as long as it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from auditlab.schema import TIME

if TYPE_CHECKING:
    from auditlab.values import Column

__all__ = ["FIELD_STATES", "field_states"]

FIELD_STATES: dict[str, pl.DataType] = {
    "entity_id": pl.String(),
    "life": pl.Int64(),
    "field": pl.String(),
    "place": pl.Int64(),
    "code": pl.Int64(),
    "text": pl.String(),
    "valid_from": TIME,
    "valid_to": TIME,
    "id": pl.Int64(),
}
"""One row a field's recorded text for as long as it holds; equal values have equal codes; a missing field has none."""


def field_states(versions: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    """``FIELD_STATES`` of a type's versions (``auditlab.shape.Shape.versions``)."""
    spans = versions.select("entity", "entity_id", "life", "valid_from", "valid_to", "id", "doc")
    followed = (pl.col("life") == pl.col("life").shift()) & (pl.col("valid_from") == pl.col("valid_to").shift())
    spans = spans.with_columns(
        goes_on=((pl.col("entity") == pl.col("entity").shift()) & followed).fill_null(value=False)
    ).with_row_index("row")
    parts = [_states_of_field(spans, column, place) for place, column in enumerate(columns)]
    return pl.concat(parts) if parts else pl.DataFrame(schema=FIELD_STATES)


def _states_of_field(spans: pl.DataFrame, column: Column, place: int) -> pl.DataFrame:
    cells = spans.with_columns(
        code=column.code.gather(spans["doc"]).cast(pl.Int64).rename("code"),
        text=column.text.gather(spans["doc"]).rename("text"),
    )
    other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in ("code", "text"))
    runs = cells.filter(~pl.col("goes_on") | other)
    last = runs["row"].shift(-1, fill_value=len(cells)) - 1
    runs = runs.with_columns(valid_to=cells["valid_to"].gather(last))
    return runs.filter(pl.col("code").is_not_null()).select(
        "entity_id",
        "life",
        pl.lit(column.name).alias("field"),
        pl.lit(place, dtype=pl.Int64).alias("place"),
        "code",
        "text",
        "valid_from",
        "valid_to",
        "id",
    )
